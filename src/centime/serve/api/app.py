"""The application: every route, and the engine's life around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse

from centime import __version__
from centime.serve.accounts import Refused
from centime.serve.api import anthropic, chat, completions, errors, information
from centime.serve.api.errors import ApiError
from centime.serve.api.page import page_routes
from centime.serve.api.page_views import BillView, EngineView
from centime.serve.api.serving import Serving, account_of

BOOKED_EVERY = 1.0  # seconds between two readings of the engine's clocks


def create_app(serving: Serving) -> FastAPI:
    """The API over an engine that the app starts and stops with itself."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving.engine.start()
        booking = asyncio.create_task(_book_time(serving))
        try:
            yield
        finally:
            serving.draining = True
            await asyncio.to_thread(serving.engine.drain)
            while serving.calls:  # their charges are being committed
                await asyncio.sleep(0.01)
            booking.cancel()
            await asyncio.to_thread(serving.engine.stop)
            _book_once(serving)

    app = FastAPI(
        title="centime serve",
        version=__version__,
        summary="One model behind the APIs of OpenAI, DeepSeek and Anthropic, and what each answer cost.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.serving = serving
    errors.install(app)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        told = ApiError(error.status, error.message, code=error.code, retry_after=error.retry_after)
        return told.response(request.url.path)

    for router in (chat.router, completions.router, anthropic.router, information.router):
        app.include_router(router)
    engine = EngineView(serving.engine, serving.names[0], serving.device, serving.price)
    app.include_router(page_routes(account_of, engine=engine, bill=BillView(serving.book)))
    return app


async def _book_time(serving: Serving) -> None:
    while True:
        await asyncio.sleep(BOOKED_EVERY)
        await asyncio.to_thread(_book_once, serving)


def _book_once(serving: Serving) -> None:
    stats = serving.engine.stats()
    serving.accounts.machine_time(stats.busy_ns, stats.idle_ns)
