"""A body is read by one reader: what it lets pass anybody can write again, and what it refuses has a reason."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import threading
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, create_model, model_validator
from tests.loops import run_apart

from centime.serve.http.json_route import APART, JsonRequest, JsonRoute
from centime.serve.json_body import MAX_CONTAINERS, MAX_DEPTH, UnreadableJson, read_json
from centime.serve.protocol.chat_request import ChatRequest

TEXTS = st.text(st.characters(codec=None), max_size=8)  # with surrogates, which a JSON escape can write
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_read_can_be_written_and_is_read_the_same_again(value: Any) -> None:
    try:
        read = read_json(json.dumps(value).encode())
    except UnreadableJson:
        assert not all(map(math.isfinite, _floats(value)))
        return
    again = json.dumps(read, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert read_json(again) == read
    if "\\ud" not in json.dumps(value):
        assert read == json.loads(json.dumps(value))


def _floats(value: Any) -> list[float]:
    if isinstance(value, list | dict):
        return [one for inner in (value if isinstance(value, list) else value.values()) for one in _floats(inner)]
    return [value] if isinstance(value, float) else []


@given(st.binary(max_size=64) | st.text('[]{}",:\\ud83e0129.-+eENaIfty \n\x00', max_size=64).map(str.encode))
def test_any_bytes_are_json_or_get_a_sentence(raw: bytes) -> None:
    said = "no JSON"
    try:
        value = read_json(raw)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except UnreadableJson as error:
        said = str(error)
    assert said.startswith("no JSON")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff{}", "no JSON in UTF-8: its byte 0"),
        ('{"a": 1}'.encode("utf-16"), "no JSON in UTF-8"),
        (b"{", "no JSON"),
        (b'{"a": NaN}', "JSON has no NaN"),
        (b'{"a": -Infinity}', "JSON has no -Infinity"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": -1' + b"0" * 400 + b".5}", "is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4,300 digits"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
        (b"[" * 10**5, "nested too deeply"),
        (b"[" + b"{}," * MAX_CONTAINERS + b"1]", "131,073 objects and lists"),
    ],
)
def test_what_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(UnreadableJson, match=said):
        read_json(raw)


def test_as_deep_as_may_be_nothing_that_recurses_fails() -> None:
    value = read_json(b'{"a":[' * (MAX_DEPTH // 2) + b"]}" * (MAX_DEPTH // 2))
    assert copy.deepcopy(value) == value
    assert json.loads(json.dumps(value, indent=1)) == value


def test_many_brackets_are_not_depth() -> None:
    assert len(read_json(b"[" + b"[]," * 1000 + b'"[[[["]')) == 1001


def test_brackets_in_texts_are_no_lists() -> None:
    text = '[{"\\\\"' * MAX_CONTAINERS
    assert read_json(json.dumps([text, {text: 1}]).encode()) == [text, {text: 1}]


def test_a_large_body_is_checked_beside_the_event_loop_and_once() -> None:
    """Who is served by the loop must not wait for somebody's hundred thousand turns."""
    threads: list[bool] = []

    class Turn(BaseModel):
        text: str

        @model_validator(mode="after")
        def noticed(self) -> Turn:
            threads.append(threading.current_thread() is loops[0])
            return self

    Given = create_model("Given", turn=(Turn, ...))

    loops: list[threading.Thread] = []
    router = APIRouter(route_class=JsonRoute)

    async def take(body: Any) -> int:
        return len(body.turn.text)

    take.__annotations__["body"] = Given
    router.post("/")(take)
    app = FastAPI()
    app.include_router(router)

    async def ask() -> list[int]:
        loops.append(threading.current_thread())
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://t") as client:
            both = [client.post("/", json={"turn": {"text": "a" * length}}) for length in (1, APART)]
            answers = await asyncio.gather(*both, client.post("/", json={"turn": 1}))
        assert answers[2].status_code == 422
        return [answer.json() for answer in answers[:2]]

    assert run_apart(ask()) == [1, APART]
    assert sorted(threads) == [False, True]


def test_the_first_wrong_turn_is_told_and_the_others_are_not_gathered() -> None:
    with pytest.raises(ValidationError) as told:
        ChatRequest.model_validate({"model": "small", "messages": [1] * 50_000})
    assert told.value.error_count() == 1


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'"\ud83d hi"', "\ufffd hi"),
        (rb'"\uDE00"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud83d"', "\\ud83d"),
        (rb'"\\\ud83d\\"', "\\\ufffd\\"),
        (rb'{"\ud83d": 1}', {"\ufffd": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_halves_of_characters_and_names_that_come_twice(raw: bytes, value: Any) -> None:
    assert read_json(raw) == value


CHAT = b'{"model": "small", "max_tokens": 2, "messages": [{"role": "user", "content": "the cat"}]}'


@pytest.mark.parametrize(
    ("raw", "kind", "status", "said"),
    [
        (CHAT, "application/json", 200, ""),
        (CHAT, "application/json; charset=utf-8", 200, ""),
        (CHAT, "Application/JSON ;charset=UTF-8", 200, ""),
        (CHAT.replace(b"the cat", rb"\ud83d cat"), "application/json", 200, ""),
        (CHAT, "text/plain", 415, "send Content-Type: application/json"),
        (CHAT, "text/plain; application/json", 415, "send Content-Type: application/json"),
        (CHAT, "application/x-www-form-urlencoded", 415, "'application/x-www-form-urlencoded'"),
        (CHAT, "application/vnd.api+json", 415, "send Content-Type: application/json"),
        (CHAT, None, 415, "without a type"),
        (b"", "application/json", 400, "The body is empty"),
        (b"[1]", "application/json", 400, "a JSON list; expected an object"),
        (b"null", "application/json", 400, "a JSON null; expected an object"),
        (CHAT.replace(b"2", b"NaN"), "application/json", 400, "JSON has no NaN"),
        (CHAT.replace(b"2", b"[" * 5000), "application/json", 400, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/anthropic/v1/messages"])
def test_our_server_reads_so(url: str, path: str, raw: bytes, kind: str | None, status: int, said: str) -> None:
    with httpx2.Client(base_url=url, timeout=30) as client:
        response = client.post(path, content=raw, headers={"Content-Type": kind} if kind else {})
    assert response.status_code == status, response.text
    if status != 200:
        assert said in response.json()["error"]["message"]
        assert ("type" in response.json()) == path.startswith("/anthropic")


def test_an_encoding_is_refused_by_its_name(url: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = httpx2.post(url + "/tokenize", content=b"\x1f\x8b", headers=headers)
    assert (response.status_code, "'gzip'" in response.json()["error"]["message"]) == (415, True)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(("size", "apart"), [(APART, False), (APART + 1, True)])
def test_a_large_body_is_worked_on_in_a_thread(size: int, apart: bool) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * size}

    request = JsonRequest({"type": "http", "headers": []}, receive)
    worker = asyncio.run(request.apart(lambda _: threading.current_thread(), None))
    assert (worker is not threading.main_thread()) is apart
