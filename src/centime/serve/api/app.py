"""The application: every route, and the engine's life around it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI

from centime import __version__
from centime.ledger.served import EngineTotals
from centime.serve.admin.admin_routes import ADMIN_KEY, admin_routes
from centime.serve.api import chat, completions, information, messages
from centime.serve.api.service import Service
from centime.serve.http import balance, errors
from centime.serve.http.admission import Admission
from centime.serve.http.auth import viewer_of
from centime.serve.http.middleware import add_middleware
from centime.serve.pages.api_reference import add_description
from centime.serve.pages.chat_tuned import tuned_for_chat
from centime.serve.pages.engine_view import EngineView
from centime.serve.pages.money_views import BillView
from centime.serve.pages.page import page_routes
from centime.serve.pages.spending import SpendingView


def create_app(service: Service, origins: Sequence[str] = ()) -> FastAPI:
    """The API over an engine that the app starts and stops with itself. origins: see `Admission`."""

    def clocks() -> EngineTotals:
        return service.engine.stats().totals

    view = EngineView(
        service.engine,
        service.names[0],
        service.device,
        service.price,
        service.devices,
        tuned_for_chat(service.tokenizer.folder, service.tokenizer.chat_template),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        booking = asyncio.create_task(service.accounts.book_machine_time(clocks))
        watching = asyncio.create_task(view.watch())
        try:
            yield
        finally:
            service.draining = True
            await service.settled()
            booking.cancel()
            watching.cancel()
            await asyncio.to_thread(service.stop)
            service.accounts.machine_time(clocks())

    app = FastAPI(
        title="centime serve",
        version=__version__,
        summary="One model behind the APIs of OpenAI, DeepSeek and Anthropic, and what each answer cost.",
        lifespan=lifespan,
        docs_url=None,  # see pages/api_reference.py
        redoc_url=None,
    )
    app.state.server = service
    errors.install_handlers(app)
    app.add_middleware(
        Admission,
        accounts=service.accounts,
        draining=lambda: service.draining,
        context=service.engine.context,
        origins=origins,
    )
    add_middleware(app, origins)
    add_description(app)

    for router in (chat.router, completions.router, messages.router, information.router, balance.router):
        app.include_router(router)
    admin_key = os.environ.get(ADMIN_KEY) or None
    app.include_router(admin_routes(lambda: service.accounts.store, admin_key))
    spending = SpendingView(lambda: service.accounts.store)
    app.include_router(page_routes(viewer_of(admin_key), engine=view, bill=BillView(service.book), spending=spending))
    return app
