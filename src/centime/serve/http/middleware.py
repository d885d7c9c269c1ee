"""What stands around both applications: the headers that let other origins' pages ask, and the end of an exception."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

from centime.ledger.shared import LedgerLost
from centime.serve.faults import traced
from centime.serve.http.errors import ApiError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("centime.serve")

AWAY = "The ledger cannot be read at the moment; send the request again."
PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
FAILED = "The server failed on this request; its log says why."


def add_middleware(app: FastAPI, origins: Sequence[str]) -> None:
    """Puts all of it around the app and the middleware it has so far. origins: whose pages may read answers; "*": any.

    Keys travel in headers that scripts set, never in cookies, so that no page can spend a key it does not hold.
    """
    app.add_middleware(Caught)
    app.add_middleware(HeadAsGet)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=["retry-after", "x-request-id", "request-id"],
        )


class HeadAsGet:
    """ASGI middleware. HEAD is answered as GET is; that the body is left out is the server's to see to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def _ledger_is_away(error: Exception) -> bool:
    """Whether the ledger could not be read or written for a reason that passes: its database is gone, its file locked,
    its disk full or failing."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # of SQLite's own, without what extends it
    return isinstance(error, LedgerLost) or code in PASSING


class Caught:
    """ASGI middleware. An exception that nothing foresaw is logged and answered 500, and the connection lives.

    Once an answer has begun there is nothing left to say: the connection is broken off, which tells the client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            if _ledger_is_away(error):  # nobody's fault here, and no line for each of a thousand requests
                await ApiError(503, AWAY, code="ledger_unavailable", retry_after=1).response(scope["path"])(
                    scope, receive, send
                )
                return
            log.error("%s %s failed:\n%s", scope["method"], ascii(scope["path"]), traced(error))
            await ApiError(500, FAILED).response(scope["path"])(scope, receive, send)
