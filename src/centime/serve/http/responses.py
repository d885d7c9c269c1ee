"""Answers that take time: streams of events, and bodies that are waited for. Both notice at once that a client left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from fastapi.responses import Response
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from centime.serve.http.errors import ApiError
from centime.serve.http.paths import dialect
from centime.serve.telemetry.exchange import current_exchange

T = TypeVar("T")

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
# What a stream is made of, for the API's description.
STREAMED = {"text/event-stream": {"schema": _EVENT}}

# JSON leaves these as they are, and clients that split by Unicode's rules (httpx' iter_lines) break a line at them.
_BREAKS = [(sign.encode(), f"\\u{ord(sign):04x}".encode()) for sign in "\x85\u2028\u2029"]


def new_id(prefix: str) -> str:
    """An id that no other answer has, such as 'call_9f2c...'."""
    return f"{prefix}{secrets.token_hex(12)}"


def as_json(body: Any) -> bytes:
    """Compact, in UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def as_event(body: Any, name: str | None = None) -> bytes:
    """One server-sent event, on one line for every client."""
    data = as_json(body)
    for written, escaped in _BREAKS:
        data = data.replace(written, escaped)
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


class ClientLeft(ApiError):
    """Whom an answer is for is gone: nobody hears of it."""


class Abortable(Protocol):
    """What makes an answer."""

    def abort(self) -> None:
        """Nothing more is wanted of it; what has ended is left alone."""


class Answering(Abortable, Protocol):
    """A call of either application: it makes its answer in one of two forms."""

    def whole(self) -> Awaitable[Any]:
        """One body: JSON values, or JSON as bytes. Raises ApiError."""

    def stream(self) -> AsyncGenerator[bytes]:
        """Server-sent events. Raises ApiError."""


class Working(Response, ABC):
    """A response in the making: `_work` runs until it is done or the client leaves, which aborts the call."""

    def __init__(self, call: Abortable) -> None:
        super().__init__()
        self.call = call

    @abstractmethod
    async def _work(self, scope: Scope, send: Send) -> None:
        """Makes the body and sends it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(OSError, ClientLeft):  # OSError: the connection broke while something was sent
            await _unless_left(receive, self._work(scope, send), self.call.abort)


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work brings before an answer begins; cancelled when the client leaves. Its body must have been read."""
    return await _unless_left(request.receive, work)


async def _unless_left(receive: Receive, work: Coroutine[Any, Any, T], ending: Callable[[], None] = lambda: None) -> T:
    """What the work brings. Raises ClientLeft when the client leaves before. ending: called before what is left of the
    work is cancelled."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        raise ClientLeft(400, "The client left.")
    finally:
        ending()
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _begin(send: Send, kind: bytes, further: Mapping[str, str]) -> None:
    headers = [(b"content-type", kind), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    headers += [(name.encode(), value.encode()) for name, value in further.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


class EventStream(Working):
    """Server-sent events. Nothing is sent before the first of them, so that an early error keeps its status."""

    def __init__(
        self, call: Abortable, events: AsyncGenerator[bytes], further: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(call)
        self._events, self._further = events, further

    async def _work(self, scope: Scope, send: Send) -> None:
        begun = False
        try:
            async for event in self._events:
                if not begun:
                    await _begin(send, b"text/event-stream; charset=utf-8", self._further)
                    begun = True
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except ApiError as error:
            if not begun:
                await error.response(scope["path"])(scope, _nothing, send)
                return
            name = "error" if dialect(scope["path"]) == "anthropic" else None
            event = as_event(error.body(scope["path"]), name)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Whole(Working):
    """One JSON body. A client that waits longer than the server's patience is sent empty lines meanwhile.

    From then on the status is 200, and an error is told by its body alone, as at DeepSeek.
    """

    def __init__(
        self,
        call: Abortable,
        body: Awaitable[Any],
        patience: float,
        further: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(call)
        self._body, self._patience, self._further = body, patience, further

    async def _work(self, scope: Scope, send: Send) -> None:
        making = asyncio.ensure_future(self._body)
        begun = False
        try:
            while not (await asyncio.wait({making}, timeout=self._patience))[0]:
                if not begun:
                    await _begin(send, b"application/json", self._further)
                    begun = True
                await send({"type": "http.response.body", "body": b"\n", "more_body": True})
            try:
                made = await making
                content = made if isinstance(made, bytes) else as_json(made)
            except ApiError as error:
                if not begun:
                    await error.response(scope["path"])(scope, _nothing, send)
                    return
                content = as_json(error.body(scope["path"]))
            if begun:
                await send({"type": "http.response.body", "body": content})
            else:
                await Response(content, 200, dict(self._further), "application/json")(scope, _nothing, send)
        finally:
            making.cancel()


def answer_of(
    call: Answering, stream: bool, patience: float, further: Mapping[str, str] = MappingProxyType({})
) -> Response:
    """The answer to a call that has begun, as events or as one body. patience: seconds to the first sign of life;
    further: headers of an answer that is no error."""
    if (exchange := current_exchange()) is not None:
        exchange.stream = stream
    return EventStream(call, call.stream(), further) if stream else Whole(call, call.whole(), patience, further)


async def _nothing() -> Any:
    raise RuntimeError("a finished response reads nothing")
