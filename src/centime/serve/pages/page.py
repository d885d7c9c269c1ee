"""The page: its files at `/` and `/static`, and what its views ask for, the engine now, the bill, a plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse

from centime.serve.accounts import Account
from centime.serve.http.errors import ApiError
from centime.serve.http.json_route import JsonRoute
from centime.serve.pages.engine_view import EngineView
from centime.serve.pages.money_views import prices_now
from centime.serve.pages.planner import Planner, PlanRequest, choices

CHARTS = Path(str(files("centime.charts")))
OF_CHARTS = {"charts.css", "hover.js"}  # what the page needs of the room that draws its charts
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
    account: Callable[..., Awaitable[Account]],
    *,
    engine: EngineView | None = None,
    bill: Callable[[str | None, Account], dict[str, Any]] | None = None,
    spending: Callable[[str, Account], dict[str, Any]] | None = None,
) -> APIRouter:
    """The routes of the page.

    account: the dependency that says whose request it is; the page's own files are open to all, so that it can ask for
    a key. engine: the live view's numbers; bill: of a run, None for everything, as that
    account may see it (`money_views.BillView`); spending: by tag, in a language (`spending.SpendingView`). A view whose
    function is None answers 404, and the page says so.
    """
    routes = APIRouter(include_in_schema=False, route_class=JsonRoute)
    planner = Planner()
    known = [Depends(account)]

    @routes.get("/")
    def index() -> Response:
        return _file("index.html")

    @routes.get("/static/{name}")
    def static(name: str) -> Response:
        return _file(name)

    @routes.get("/page/engine", dependencies=known)
    async def engine_now() -> dict[str, Any]:
        if engine is None:
            raise ApiError(404, "This server has no engine of its own.")
        return engine()

    @routes.get("/page/engine/past", dependencies=known)
    async def engine_past() -> dict[str, Any]:
        if engine is None:
            raise ApiError(404, "This server has no engine of its own.")
        return engine.past()

    @routes.get("/page/prices")
    def prices(whose: Account = Depends(account)) -> dict[str, Any]:
        return prices_now(whose)

    @routes.get("/page/bill")
    def bill_of(run: Annotated[str | None, Query()] = None, whose: Account = Depends(account)) -> dict[str, Any]:
        if bill is None:
            raise ApiError(404, "This server keeps no ledger.")
        return bill(run, whose)

    @routes.get("/page/spending")
    def spending_of(lang: Annotated[str, Query()] = "en", whose: Account = Depends(account)) -> dict[str, Any]:
        if spending is None:
            raise ApiError(404, "This server keeps no ledger.")
        return spending(lang, whose)

    @routes.get("/page/plan", dependencies=known)
    def plan_choices() -> dict[str, Any]:
        return choices()

    @routes.post("/page/plan", dependencies=known)
    async def plan(form: PlanRequest, request: Request) -> dict[str, Any]:
        return await planner.plan(form, request.is_disconnected)

    return routes


def _file(name: str) -> Response:
    """One of the page's own files; anything else is a 404."""
    folder = CHARTS if name in OF_CHARTS else WEB
    path = folder / name
    if path.parent != folder or path.suffix not in TYPES or not path.is_file():
        raise ApiError(404, f"The page has no file {name!r}.")
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
