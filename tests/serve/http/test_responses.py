"""Server-sent events as bytes, and answers in the making, with clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from centime.serve.http.errors import ApiError
from centime.serve.http.responses import ClientLeft, EventStream, Whole, answer_of, as_event, while_there

breaks = st.sampled_from('\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\\"')


@given(st.text(st.characters(exclude_categories=["Cs"]) | breaks), st.none() | st.just("delta"))
def test_an_event_is_one_line_of_data_however_a_client_splits_lines(text: str, name: str | None) -> None:
    event = as_event({"text": text}, name).decode()
    assert event.endswith("\n\n")
    *named, data = event.removesuffix("\n\n").splitlines()
    assert named == ([] if name is None else ["event: delta"])
    assert json.loads(data.removeprefix("data: ")) == {"text": text}


class Made:
    """A call whose events or body are given, and a client that leaves at a moment of its own."""

    def __init__(self, *made: bytes | ApiError, leaves: bool = False, path: str = "/v1/chat/completions") -> None:
        self.made, self.path, self.aborted = made, path, 0
        self.sent: list[Any] = []
        self.pause = 30.0 if leaves else 0.0  # before anything comes
        self._left = asyncio.Event()
        if leaves:
            self._left.set()

    def abort(self) -> None:
        self.aborted += 1

    async def stream(self) -> AsyncGenerator[bytes]:
        for one in self.made:
            await asyncio.sleep(self.pause)
            if isinstance(one, ApiError):
                raise one
            yield one

    async def whole(self, seconds: float = 0.0) -> Any:
        await asyncio.sleep(seconds or self.pause)
        (one,) = self.made
        if isinstance(one, ApiError):
            raise one
        return one

    async def receive(self) -> Any:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def answered(self, response: Response) -> tuple[int | None, str, bytes]:
        """(status, content type, body) as a client has them; None where nothing was sent."""
        asyncio.run(response({"type": "http", "path": self.path, "headers": []}, self.receive, self.send))
        starts = [message for message in self.sent if message["type"] == "http.response.start"]
        assert len(starts) <= 1
        assert self.sent[:1] == starts, "the head comes first"
        if not starts:
            return None, "", b""
        assert not self.sent[-1].get("more_body", False), "and the body has an end"
        kind = dict(starts[0]["headers"])[b"content-type"].decode()
        return starts[0]["status"], kind, b"".join(message.get("body", b"") for message in self.sent[1:])


FULL = ApiError(429, "Come back later.", code="queue_full")


def test_events_are_sent_as_they_come() -> None:
    made = Made(b"data: 1\n\n", b"data: 2\n\n")
    found = made.answered(EventStream(made, made.stream()))
    assert found == (200, "text/event-stream; charset=utf-8", b"data: 1\n\ndata: 2\n\n")
    assert len(made.sent) == 4, "a head, two events, an end"


@pytest.mark.parametrize("streams", [True, False])
def test_an_error_before_anything_is_sent_keeps_its_status(streams: bool) -> None:
    made = Made(FULL)
    status, kind, body = made.answered(answer_of(made, streams, 9.0))
    assert (status, kind) == (429, "application/json")
    assert json.loads(body)["error"]["code"] == "queue_full"


@pytest.mark.parametrize(("path", "name"), [("/v1/chat/completions", ""), ("/v1/messages", "event: error\n")])
def test_an_error_within_a_stream_is_an_event_of_its_api(path: str, name: str) -> None:
    made = Made(b"data: 1\n\n", FULL, path=path)
    status, _, body = made.answered(answer_of(made, True, 9.0))
    assert status == 200
    assert body == b"data: 1\n\n" + as_event(FULL.body(path), name.removeprefix("event: ").strip() or None)
    assert body.decode().startswith(f"data: 1\n\n{name}data: ")


def test_a_body_that_is_waited_for_has_empty_lines_before_it() -> None:
    made = Made(b'{"a": 1}')
    assert made.answered(answer_of(made, False, 9.0)) == (200, "application/json", b'{"a": 1}')
    for content, body in ((b'{"a": 1}', {"a": 1}), (FULL, FULL.body("/v1/chat/completions"))):
        late = Made(content)
        status, kind, sent = late.answered(Whole(late, late.whole(0.05), 0.01))
        assert (status, kind) == (200, "application/json")
        assert sent.startswith(b"\n")
        assert json.loads(sent) == body


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_left_is_sent_nothing_and_the_call_is_aborted(streams: bool) -> None:
    made = Made(b"data: 1\n\n", leaves=True)
    assert made.answered(answer_of(made, streams, 9.0)) == (None, "", b"")
    assert made.aborted == 1


def test_work_before_an_answer_ends_with_its_client() -> None:
    async def ask(leaves: bool) -> str:
        made = Made(leaves=leaves)

        async def work() -> str:
            await asyncio.sleep(made.pause)
            return "done"

        request = Request({"type": "http", "headers": []}, made.receive)
        return await while_there(request, work())

    assert asyncio.run(ask(False)) == "done"
    with pytest.raises(ClientLeft, match="The client left"):
        asyncio.run(ask(True))
