"""A chat's call answered in the Responses API's words, whole or as its events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from centime.serve.http.errors import ApiError
from centime.serve.http.responses import KEEP_ALIVE, Answering, as_event
from centime.serve.protocol.responses.response_maker import ResponseMaker
from centime.serve.protocol.responses.responses_request import ResponsesRequest


class ResponsesCall:
    """chat: the call that makes the answer, of either application."""

    def __init__(self, asked: ResponsesRequest, chat: Answering) -> None:
        self._chat, self._maker = chat, ResponseMaker(asked)

    async def whole(self) -> dict[str, Any]:
        """The response. Raises ApiError."""
        body = await self._chat.whole()
        for _ in (*self._maker.take(json.loads(body) if isinstance(body, bytes) else body), *self._maker.finish()):
            pass  # the events of a stream that nobody asked for
        return self._maker.response

    async def stream(self) -> AsyncGenerator[bytes]:
        """Events as they come. Raises ApiError as long as none has come; afterwards `response.failed` tells of it."""
        begun = False
        try:
            async for event in self._chat.stream():
                if event == KEEP_ALIVE:
                    yield event
                body = _body_of(event)
                if body is None:
                    continue
                if isinstance(error := body.get("error"), dict):
                    raise ApiError(503, str(error.get("message")), code=error.get("code"))
                if not begun:
                    begun = True
                    for made in self._maker.begin():
                        yield as_event(made, made["type"])
                for made in self._maker.take(body):
                    yield as_event(made, made["type"])
        except ApiError as error:
            if not begun:
                raise
            for made in self._maker.fail(error.code, error.message):
                yield as_event(made, made["type"])
            return
        for made in (*(() if begun else self._maker.begin()), *self._maker.finish()):
            yield as_event(made, made["type"])

    def abort(self) -> None:
        """The client left."""
        self._chat.abort()


def _body_of(event: bytes) -> dict[str, Any] | None:
    """The object in an event's data; None where it is none, as the end of a stream and whatever a server made up."""
    data = b"".join(line[5:] for line in event.split(b"\n") if line.startswith(b"data:"))
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
