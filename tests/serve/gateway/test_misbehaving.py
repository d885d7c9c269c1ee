"""Whatever an upstream does in the middle of one answer, that exchange alone ends, and those beside it are well."""

from __future__ import annotations

import gzip
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serve.gateway.put import settled
from tests.serve.gateway.rude import ANSWER, Reset, event, head, part, rude, whole
from tests.serve.gateway.running import chunk, gateway_over, usage_chunk

from centime.ledger.served import served_rows
from centime.serve.gateway.gateway import Gateway

TEXT = chunk("Hello world, ")  # 13 bytes: four tokens, where nobody counts them
END = chunk(finish="stop")
DEEP = b"[" * 5000 + b"]" * 5000
HALF = rb"\ud83d ab"
DONE = part(b"data: [DONE]\n\n")

# name -> (what is sent, whether anything that was delivered is charged)
STREAMS: dict[str, tuple[list[Any], bool]] = {
    "nothing at all": ([], False),
    "no HTTP": ([b"SSH-2.0-OpenSSH\r\n\r\n"], False),
    "a head that never ends": ([b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000], False),
    "a reset before the head": ([Reset], False),
    "a reset in the head": ([b"HTTP/1.1 200 OK\r\nContent-Ty", Reset], False),
    "a reset before an event": ([head(), Reset], False),
    "a reset after an event": ([head(), event(TEXT), 0.1, Reset], True),
    "an end in a chunk": ([head(), event(TEXT), b"ffff\r\ndata: {"], True),
    "a chunk of no length": ([head(), event(TEXT), b"zz\r\n"], True),
    "no UTF-8": ([head(), event(b'{"choices": [{"delta": {"content": "\xff\xfe"}}]}'), event(TEXT), part(b"")], True),
    "no JSON": ([head(), event(b"{oh, no"), event(TEXT), event(END), DONE, part(b"")], True),
    "JSON that is too deep": ([head(), event(TEXT), event(b'{"choices": ' + DEEP + b"}"), DONE, part(b"")], True),
    "half a character": ([head(), event(b'{"choices": [{"delta": {"content": "' + HALF + b'"}}]}'), DONE], True),
    "NaN": ([head(), event(b'{"choices": [{"delta": {"content": "ab"}, "logprobs": NaN}]}'), DONE, part(b"")], True),
    "an event without an end": ([head(), event(TEXT), *[part(b"x" * 2**20)] * 18, 5], True),
    "choices of other kinds": (
        [head(), event(TEXT)]
        + [event(body) for body in (
            {"choices": "x"}, {"choices": {"a": 1}}, {"choices": [1, None, "x", []]}, {"choices": [{}]},
            {"choices": [{"delta": "x", "index": [], "finish_reason": {}}]}, {"choices": [{"delta": [{"a": 1}]}]},
            {"choices": [{"index": "0", "delta": {"content": 5, "tool_calls": [None, {"function": 7}]}}]}, [], 1, None,
            {"choices": [], "usage": 5}, {"choices": [], "usage": []}, {"timings": {"predicted_n": []}},
        )] + [event(END), DONE, part(b"")],
        True,
    ),
    "an error event": ([head(), event(TEXT), event({"error": {"message": "out of memory"}}), DONE, part(b"")], True),
    "an error event at once": ([head(), event({"error": {"message": "out of memory"}}), DONE, part(b"")], False),
    "no end of the connection": ([head(), event(TEXT), event(END), event(usage_chunk(10, 4)), DONE, 20], True),
    "events after the end": ([head(), event(TEXT), event(END), *[event(TEXT)] * 500, 20], True),
    "a reset after the end": ([head(), event(TEXT), event(END), Reset], True),
    "no gzip": ([head(more="Content-Encoding: gzip\r\n"), event(TEXT), part(b"")], False),
    "gzip that is cut": (
        [head(more="Content-Encoding: gzip\r\n"), part(gzip.compress(b"data: {}\n\n" * 1000)[:-9]), Reset], False,
    ),
    "plain JSON": ([whole(json.dumps(ANSWER).encode())], True),
    "plain JSON without usage": ([whole(json.dumps(ANSWER | {"usage": None}).encode())], True),
    "an error under 200": ([whole(b'{"error": {"message": "out of memory"}}')], False),
    "JSON that is cut": ([whole(json.dumps(ANSWER).encode()[:-20])], True),
    "a redirect": ([whole(b"", status="307 Temporary Redirect")], False),
    "an odd status": ([whole(b"{}", status="999 What")], False),
    "an error that never ends": ([b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n{"], False),
    "an error too deep": ([whole(DEEP, status="400 Bad")], False),
    "an error of half a character": ([whole(rb'{"error": {"message": "\ud83d"}}', status="400 Bad")], False),
}  # fmt: skip
BODIES: dict[str, tuple[list[Any], bool]] = {
    name: STREAMS[name]
    for name in (
        "nothing at all", "no HTTP", "a head that never ends", "a reset before the head", "a redirect",
        "JSON that is cut", "an odd status", "an error that never ends", "an error too deep",
        "an error of half a character", "an error under 200", "no gzip",
    )
} | {
    "a reset in the body": ([head("application/json"), part(b'{"choices": ['), 0.05, Reset], False),
    "an end in the body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"], False),
    "a list": ([whole(b"[1]")], False),
    "no JSON at all": ([whole(b"oops", "text/plain")], False),
    "an empty body": ([whole(b"")], False),
    "an empty answer": ([whole(b"{}")], False),
    "a body without UTF-8": ([whole(b'{"choices": [{"message": {"content": "\xff"}}]}')], True),
    "a body too deep": ([whole(b'{"choices": ' + DEEP + b"}")], True),
    "a body of half a character": ([whole(rb'{"choices": [{"message": {"content": "\ud83d ab"}}]}')], True),
    "a body with NaN": ([whole(b'{"choices": [{"message": {"content": "ab"}, "logprobs": NaN}]}')], True),
    "choices that are none": ([whole(b'{"choices": 7, "usage": "many"}')], False),
    "a stream": ([head(), event(TEXT), event(END), event(usage_chunk(10, 4)), DONE, part(b"")], True),
    "an endless body": ([head("application/json"), *[part(b" " * 2**20)] * 4, Reset], False),
}  # fmt: skip
SCRIPTS = {f"stream: {name}": case for name, case in STREAMS.items()} | {
    f"body: {name}": case for name, case in BODIES.items()
}
Books = tuple[int, int, int]


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Gateway, Path]]:
    """(URL of a gateway in front of the rude upstream, the gateway, its ledger)."""
    home = tmp_path_factory.mktemp("gateway")
    with (
        rude({name: script for name, (script, _) in SCRIPTS.items()}) as url,
        gateway_over(url, home) as (own, gateway),
    ):
        yield own, gateway, home / "ledger.sqlite"


def ask(url: str, text: str, stream: bool) -> tuple[int, str]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 50}
    response = httpx2.post(url + "/v1/chat/completions", json=body, timeout=30)
    return response.status_code, response.text


def books(ledger: Path) -> Books:
    """(requests, prompt tokens, output tokens) that were charged."""
    rows = served_rows(sqlite3.connect(ledger))
    requests, prompt = sum(row.requests for row in rows), sum(row.prompt_tokens for row in rows)
    return requests, prompt, sum(row.output_tokens for row in rows)


@pytest.mark.parametrize("name", SCRIPTS)
def test_one_exchange_ends_and_its_neighbours_are_well(between: tuple[str, Gateway, Path], name: str) -> None:
    url, gateway, ledger = between
    stream, charged = name.startswith("stream"), SCRIPTS[name][1]
    before, neighbours = books(ledger), list[tuple[int, str]]()
    threads = [threading.Thread(target=lambda: neighbours.append(ask(url, "plain", False))) for _ in range(2)]
    for thread in threads:
        thread.start()
    status, text = ask(url, name, stream)
    for thread in threads:
        thread.join()
    neighbours.append(ask(url, "plain", False))
    settled(gateway)
    assert gateway.pool.running == 0
    assert gateway.accounts.balance(gateway.accounts.authenticate(None)).held == 0
    assert [code for code, _ in neighbours] == [200] * 3
    assert all(json.loads(body)["choices"] == ANSWER["choices"] for _, body in neighbours)
    requests, prompt, output = (new - old for new, old in zip(books(ledger), before, strict=True))
    assert requests == 3 + charged
    if charged:
        assert prompt > 30
        assert 6 < output <= 6 + 50
    if status != 200:
        assert json.loads(text)["error"]["message"]
    elif not stream:
        json.loads(text)


def test_what_has_come_of_a_whole_stream_is_passed_on(between: tuple[str, Gateway, Path]) -> None:
    """An upstream that breaks off after the last word has said all."""
    _, text = ask(between[0], "stream: a reset after the end", True)
    assert [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data")] == [TEXT, END]


def test_an_answer_in_place_of_a_stream_is_one_event(between: tuple[str, Gateway, Path]) -> None:
    _, text = ask(between[0], "stream: plain JSON", True)
    assert text == f"data: {json.dumps(ANSWER)}\n\ndata: [DONE]\n\n"
