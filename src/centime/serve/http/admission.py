"""What stands before all work: who asks, from where, whether it may, how much it sends. Decided before a body is read.

Reading, parsing, rendering, tokenizing and compiling cost time too. A request that no key, rate, concurrency or balance
covers, or that is larger than any prompt the model has room for, is refused before any of it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from centime.ledger.tags import HEADER, tags_of
from centime.serve.accounts import Accounts, Refused, Ticket
from centime.serve.http.auth import is_loopback, secret_of
from centime.serve.http.errors import ApiError, as_api_error
from centime.serve.http.json_route import sent_object
from centime.serve.telemetry.exchange import current_exchange

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 2**20  # bytes, whatever the context: a million tokens of text are four million bytes
# Bytes of a body by the context's tokens. Text takes four or five a token; characters outside ASCII that JSON escapes
# take up to twelve. Beside the prompt a body has tools, schemas and settings: BODY_BASE is for them.
BODY_BYTES_PER_TOKEN = 32
BODY_BASE = 2**20
BODY_SECONDS = 60.0  # without a byte of a body, after which its place is another's
READ_AWAY_BYTES, READ_AWAY_SECONDS = 2**20, 1.0  # of a refused body
# The page's own questions and the administrator's: they need a key, but are no requests to the model.
UNADMITTED = ("/page/", "/admin/")
READS = frozenset({"GET", "HEAD", "OPTIONS"})


def largest_body(context: int | None) -> int:
    """Most bytes of a body for a model of `context` tokens; None: not known."""
    return MAX_BODY if context is None else min(MAX_BODY, BODY_BASE + BODY_BYTES_PER_TOKEN * context)


class Admission:
    """ASGI middleware. A POST gets a ticket (`take_ticket`) that reserves nothing yet and counts for the key's limits.

    The order of its questions: another host or a page of another origin (403), draining (503), the key (401), its
    concurrency and rate (429), its balance (402), the size (413). What no route takes over is released at the end.
    origins: whose pages' requests are served ("*": everybody's); those of the server's own page always are.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        accounts: Accounts,
        draining: Callable[[], bool],
        context: int | None,
        origins: Collection[str] = (),
    ) -> None:
        self._app, self._accounts, self._draining = app, accounts, draining
        self._largest, self._origins = largest_body(context), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            if not is_loopback(connection.url.hostname or ""):
                await asyncio.to_thread(self._check_host, connection)
            ticket = await self._ticket(connection)
        except (ApiError, Refused) as error:
            await _read_away(receive)
            await as_api_error(error).response(scope["path"])(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if ticket is not None:
            state["ticket"], state["account"] = ticket, ticket.account
            if (exchange := current_exchange()) is not None:
                exchange.key, exchange.place = ticket.account.name, ticket.account.place

        async def release() -> None:
            if (left := state.pop("ticket", None)) is not None:
                await asyncio.shield(asyncio.to_thread(left.release))

        async def released(message: Message) -> None:
            """Whoever has the whole answer has its place back too."""
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await release()
            await send(message)

        try:
            await self._app(scope, self._limited(receive), released)
        finally:
            await release()

    def _check_host(self, connection: HTTPConnection) -> None:
        """Of a host that is not this machine. Raises ApiError (403) on a server without keys."""
        host = connection.url.hostname or ""
        if self._accounts.open:
            raise ApiError(
                403,
                f"Without a key this server answers to this machine alone, not to {host[:100]!r}: ask for 127.0.0.1 or "
                "localhost, or make a key with `centime keys add NAME`.",
            )

    async def _ticket(self, connection: HTTPConnection) -> Ticket | None:
        """None for what is not admitted: everything but a POST to the API."""
        if connection.scope["method"] in READS:
            return None
        self._check_origin(connection)
        if connection.scope["method"] != "POST":
            return None
        if connection.scope["path"].startswith(UNADMITTED):
            return None
        if self._draining():
            raise ApiError(503, "The server is shutting down; send the request again, elsewhere or later.")
        ticket = await asyncio.to_thread(self._admit, secret_of(connection))
        announced = connection.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._largest:
            await asyncio.shield(asyncio.to_thread(ticket.release))
            raise self._too_large()
        return ticket

    def _admit(self, secret: str | None) -> Ticket:
        return self._accounts.admit(self._accounts.authenticate(secret), prompt_tokens=0, max_tokens=0)

    def _check_origin(self, connection: HTTPConnection) -> None:
        """A browser names the origin of the page that sends; programs name none."""
        origin = connection.headers.get("origin")
        if origin is None or connection.headers.get("sec-fetch-site") == "same-origin":
            return
        if (
            "*" in self._origins
            or origin in self._origins
            or origin.partition("://")[2] == connection.headers.get("host")
        ):
            return
        raise ApiError(
            403,
            f"Pages of {origin[:100]!r} may not use this server; start it with --cors-origin to let them.",
        )

    def _limited(self, receive: Receive) -> Receive:
        """The body, as long as it is no larger than may be, announced or not."""
        read, whole = 0, False

        async def counted() -> Message:
            nonlocal read, whole
            try:
                async with asyncio.timeout(None if whole else BODY_SECONDS):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"Nothing of the body came for {BODY_SECONDS:g} seconds.") from None
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > self._largest:
                # the one kind of exception that FastAPI lets pass while it reads
                raise HTTPException(413, self._too_large().message)
            return message

        return counted

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The body is larger than {self._largest:,} bytes, more than any prompt that this model has room for.",
        )


async def _read_away(receive: Receive) -> None:
    """A body of ordinary size, which a client may still be sending: closing on it would lose the answer on its way."""
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_AWAY_SECONDS):
            while read <= READ_AWAY_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


def take_ticket(request: Request) -> Ticket:
    """The ticket of an admitted request, which knows its tags; whoever takes it settles or releases it.

    Raises UserError for tags that cannot be read, and then it is released with the request.
    """
    tags = tags_of(request.headers.get(HEADER), sent_object(request))
    ticket: Ticket = request.scope["state"].pop("ticket")
    exchange = current_exchange()
    ticket.tag(tags, exchange.request_id if exchange is not None else "")
    if exchange is not None:
        exchange.tags = tags
    return ticket
