"""The application: every route, and the engine's life around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI

from centime import __version__
from centime.serve.api import anthropic, balance, chat, completions, errors, information
from centime.serve.api.admission import Admission
from centime.serve.api.around import surround
from centime.serve.api.description import add_description
from centime.serve.api.engine_view import EngineView
from centime.serve.api.page import page_routes
from centime.serve.api.page_views import BillView
from centime.serve.api.serving import Serving, account_of
from centime.serve.api.tuned import tuned_for_chat


def create_app(serving: Serving, origins: Sequence[str] = ()) -> FastAPI:
    """The API over an engine that the app starts and stops with itself. origins: see `Admission`."""

    def clocks() -> tuple[int, int]:
        stats = serving.engine.stats()
        return stats.busy_ns, stats.idle_ns

    view = EngineView(
        serving.engine,
        serving.names[0],
        serving.device,
        serving.price,
        serving.devices,
        tuned_for_chat(serving.tokenizer.folder, serving.tokenizer.chat_template),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving.engine.start()
        booking = asyncio.create_task(serving.accounts.book_machine_time(clocks))
        watching = asyncio.create_task(view.watch())
        try:
            yield
        finally:
            serving.draining = True
            await asyncio.to_thread(serving.engine.drain)
            while serving.calls:  # their charges are being committed
                await asyncio.sleep(0.01)
            booking.cancel()
            watching.cancel()
            await asyncio.to_thread(serving.stop)
            serving.accounts.machine_time(*clocks())

    app = FastAPI(
        title="centime serve",
        version=__version__,
        summary="One model behind the APIs of OpenAI, DeepSeek and Anthropic, and what each answer cost.",
        lifespan=lifespan,
        docs_url=None,  # see description.py
        redoc_url=None,
    )
    app.state.serving = serving
    errors.install(app)
    app.add_middleware(
        Admission,
        accounts=serving.accounts,
        draining=lambda: serving.draining,
        context=serving.engine.context,
        origins=origins,
    )
    surround(app, origins)
    add_description(app)

    for router in (chat.router, completions.router, anthropic.router, information.router, balance.router):
        app.include_router(router)
    app.include_router(page_routes(account_of, engine=view, bill=BillView(serving.book)))
    return app
