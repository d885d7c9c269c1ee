"""The gateway's application: the routes that cost tokens are passed on and charged, a few others answered here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from centime import __version__
from centime.serve.admin.admin_routes import ADMIN_KEY, admin_routes
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.routes import passing_routes
from centime.serve.http import balance, errors
from centime.serve.http.admission import Admission
from centime.serve.http.auth import CurrentAccount, viewer_of
from centime.serve.http.errors import ApiError
from centime.serve.http.middleware import add_middleware
from centime.serve.http.responses import as_json
from centime.serve.pages.api_reference import add_description
from centime.serve.pages.money_views import BillView
from centime.serve.pages.page import page_routes
from centime.serve.pages.spending import SpendingView


def create_app(gateway: Gateway, origins: Sequence[str] = ()) -> FastAPI:
    """The API in front of the gateway's upstreams. origins: see `Admission`."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        working = [asyncio.create_task(gateway.pool.work()), asyncio.create_task(gateway.accounts.telling())]
        try:
            yield
        finally:
            gateway.draining = True
            await gateway.settled()
            for task in working:
                task.cancel()
            await gateway.pool.close()

    app = FastAPI(
        title="centime serve --upstream",
        version=__version__,
        summary="Keys, budgets, prices and a bill in front of another server with OpenAI's API.",
        lifespan=lifespan,
        docs_url=None,  # see pages/api_reference.py
        redoc_url=None,
    )
    app.state.server = gateway
    errors.install_handlers(app)

    app.add_middleware(
        Admission,
        accounts=gateway.accounts,
        draining=lambda: gateway.draining,
        context=None,  # images have more bytes than tokens
        origins=origins,
    )
    add_middleware(app, origins)
    add_description(app)
    app.include_router(passing_routes(gateway))
    app.include_router(balance.router)
    admin_key = os.environ.get(ADMIN_KEY) or None
    app.include_router(admin_routes(lambda: gateway.accounts.store, admin_key))
    spending = SpendingView(lambda: gateway.accounts.store)
    app.include_router(page_routes(viewer_of(admin_key), bill=BillView(gateway.book), spending=spending))

    @app.get("/v1/models")
    @app.get("/models", include_in_schema=False)
    async def models(account: CurrentAccount) -> Response:
        """The models that requests may name."""
        return Response(as_json(await gateway.pool.models()), media_type="application/json")

    @app.get("/v1/models/{name:path}")
    @app.get("/models/{name:path}", include_in_schema=False)
    async def model(name: str, account: CurrentAccount) -> Response:
        """One of them."""
        listed = (await gateway.pool.models()).get("data")
        for found in listed if isinstance(listed, list) else []:
            if isinstance(found, dict) and found.get("id") == name:
                return Response(as_json(found), media_type="application/json")
        raise ApiError(404, f"The model {name!r} does not exist here.", param="model", code="model_not_found")

    @app.get("/health")
    async def health() -> JSONResponse:
        """200 while the gateway takes requests and an upstream answers."""
        up = not gateway.draining and await gateway.pool.answers()
        status = "draining" if gateway.draining else "ok" if up else "upstream lost"
        return JSONResponse({"status": status, "running": gateway.pool.running}, 200 if up else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """The counters for Prometheus. They need no key: they tell how much is served, not to whom."""
        return Response(gateway.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return app
