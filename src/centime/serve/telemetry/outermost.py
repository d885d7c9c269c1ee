"""Around each application: an id for every request, the client's own or a new one, and the exchange that is told of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from centime.serve.telemetry.exchange import Exchange, Observer, begin

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ID = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
)  # what a client may call its request; anything else is passed over
SECRET = "/admin/"  # whose bodies are kept nowhere: there are new secrets in them, and addresses of webhooks
MOST_KEPT = 2**20  # bytes of a request's body, and of an answer's, where somebody wants them


class Outermost:
    """ASGI middleware. observers: who is told of each exchange, read anew for every request."""

    def __init__(
        self, app: ASGIApp, new_id: Callable[[], str], observers: Callable[[], Sequence[Observer]] = tuple
    ) -> None:
        self._app, self._new_id, self._observers = app, new_id, observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        asked, observers = headers.get("x-request-id", ""), self._observers()
        number = asked if _ID.fullmatch(asked) else self._new_id()
        exchange = Exchange(number, scope["method"], scope["path"], headers, observers)
        begin(exchange)
        keeps = any(one.bodies for one in observers) and not scope["path"].startswith(SECRET)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":  # under the name OpenAI's clients read, and Anthropic's
                exchange.status = message["status"]
                told = number.encode()
                message["headers"] = [*message["headers"], (b"x-request-id", told), (b"request-id", told)]
            elif keeps:
                _keep(exchange.answered, message)
            await send(message)

        async def kept() -> Message:
            message = await receive()
            _keep(exchange.sent, message)
            return message

        try:
            await self._app(scope, kept if keeps else receive, named)
        finally:
            exchange.answer_ended()


def _keep(body: bytearray, message: Message) -> None:
    body += message.get("body", b"")[: MOST_KEPT - len(body)]
