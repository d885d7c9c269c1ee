"""The gateway's application: the routes that cost tokens are passed on and charged, a few others answered here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request

from centime import __version__
from centime.serve.accounts import Account
from centime.serve.api import balance, errors
from centime.serve.api.booking import book_time
from centime.serve.api.page import page_routes
from centime.serve.api.page_views import BillView
from centime.serve.api.respond import EventStream, Whole
from centime.serve.api.serving import Asking, account_of
from centime.serve.gateway.asked import Kind, read_body
from centime.serve.gateway.exchange import Exchange
from centime.serve.gateway.gateway import Gateway

# What clients call -> what it is. The same paths as at our own server; the upstream's are in upstream.py.
ROUTES: dict[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/completions": "completions",
    "/beta/completions": "completions",
    "/v1/messages": "messages",
    "/anthropic/v1/messages": "messages",
    "/v1/embeddings": "embeddings",
}


def create_app(gateway: Gateway) -> FastAPI:
    """The API in front of the gateway's upstream."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        booking = asyncio.create_task(book_time(gateway.accounts, gateway.clock.totals))
        try:
            yield
        finally:
            gateway.draining = True
            while gateway.exchanges:  # their charges are being committed
                await asyncio.sleep(0.01)
            booking.cancel()
            await asyncio.to_thread(gateway.accounts.machine_time, *gateway.clock.totals())
            await gateway.upstream.close()

    app = FastAPI(
        title="centime serve --upstream",
        version=__version__,
        summary="Keys, budgets, prices and a bill in front of another server with OpenAI's API.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.serving = gateway  # where `account_of` finds the accounts
    errors.install(app)

    for path, kind in ROUTES.items():
        app.add_api_route(path, _passed_on(gateway, kind), methods=["POST"], response_model=None, name=path)
    app.include_router(balance.router)
    app.include_router(page_routes(account_of, bill=BillView(gateway.book)))

    @app.get("/v1/models")
    @app.get("/models", include_in_schema=False)
    async def models(account: Asking) -> JSONResponse:
        """The upstream's models."""
        return JSONResponse(await gateway.upstream.models())

    @app.get("/health")
    async def health() -> JSONResponse:
        """200 while the gateway takes requests and the upstream answers."""
        up = not gateway.draining and await gateway.upstream.answers()
        status = "draining" if gateway.draining else "ok" if up else "upstream lost"
        return JSONResponse({"status": status, "running": gateway.clock.running}, 200 if up else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """The counters for Prometheus. They need no key: they tell how much is served, not to whom."""
        return Response(gateway.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return app


def _passed_on(gateway: Gateway, kind: Kind) -> Any:
    async def route(request: Request, account: Annotated[Account, Depends(account_of)]) -> Response:
        asked = read_body(kind, await request.body())
        exchange = await Exchange.start(gateway, account, asked)
        if asked.stream:
            return EventStream(exchange, exchange.stream())
        return Whole(exchange, exchange.whole(), gateway.patience)

    return route
