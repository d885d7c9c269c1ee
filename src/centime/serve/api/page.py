"""The page: its files at `/` and `/static`, and what its views ask for, the engine now, the bill, a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.params import Depends
from fastapi.responses import FileResponse

from centime.serve.api.errors import ApiError
from centime.serve.api.planner import Planner, PlanRequest, choices

WEB = Path(str(files("centime.serve").joinpath("web")))

# Nothing from elsewhere, no inline script: what a model writes cannot run, load or send anything.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # small files: a new version shows at once
}
TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes(
    *,
    engine: Callable[[], dict[str, Any]] | None = None,
    bill: Callable[[str | None], dict[str, Any]] | None = None,
    guards: Sequence[Depends] = (),
) -> APIRouter:
    """The routes of the page.

    engine: the live view's numbers (`engine_view`); bill: `Bill.as_json()` of a run, None for everything; a view whose
    function is None answers 404, and the page says so. guards: dependencies of the data routes, such as the check of a
    key; the page's own files are open to all, so that it can ask for the key.
    """
    routes = APIRouter(include_in_schema=False)
    planner = Planner()

    @routes.get("/")
    def index() -> Response:
        return _file("index.html")

    @routes.get("/static/{name}")
    def static(name: str) -> Response:
        return _file(name)

    @routes.get("/page/engine", dependencies=guards)
    async def engine_now() -> dict[str, Any]:
        if engine is None:
            raise ApiError(404, "This server has no engine of its own.")
        return engine()

    @routes.get("/page/bill", dependencies=guards)
    def bill_of(run: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        if bill is None:
            raise ApiError(404, "This server keeps no ledger.")
        return bill(run)

    @routes.get("/page/plan", dependencies=guards)
    def plan_choices() -> dict[str, Any]:
        return choices()

    @routes.post("/page/plan", dependencies=guards)
    async def plan(asked: PlanRequest, request: Request) -> dict[str, Any]:
        return await planner.plan(asked, request.is_disconnected)

    return routes


def _file(name: str) -> Response:
    """One of the page's own files; anything else is a 404."""
    path = WEB / name
    if path.parent != WEB or path.suffix not in TYPES or not path.is_file():
        raise ApiError(404, f"The page has no file {name!r}.")
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
