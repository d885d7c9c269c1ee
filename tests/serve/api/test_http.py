"""The server over plain HTTP: waiting, leaving, slow readers, full queues, malformed requests."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.serve.api.running import running

from centime.serve.api.service import Service

pytestmark = pytest.mark.slow

ASK: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "the cat sat"}], "max_tokens": 8}
LONG = {**ASK, "max_tokens": 1500, "ignore_eos": True}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    """A server that answers one at a time, lets one wait, and gives a sign of life every 20 ms."""
    with running(tmp_path_factory.mktemp("narrow"), patience=0.02, max_running=1, max_waiting=1) as found:
        yield found


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def until(true: Callable[[], bool]) -> None:
    """Waits for what must come; fails after half a minute."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def occupied(url: str, serving: Service) -> httpx.Response:
    """A stream that keeps a narrow server busy until it is closed."""
    client = httpx.Client(base_url=url, timeout=60)
    response = client.send(
        client.build_request("POST", "/v1/chat/completions", json={**LONG, "stream": True}), stream=True
    )
    until(lambda: serving.engine.stats().running == 1)
    return response


def test_those_who_wait_are_told_that_the_connection_lives(narrow: tuple[str, Service]) -> None:
    url, serving = narrow
    busy = occupied(url, serving)
    with httpx.stream("POST", f"{url}/v1/chat/completions", json={**ASK, "stream": True}, timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": keep-alive"
        busy.close()
        data = [line for line in lines if line.startswith("data: ")]
    assert data[-1] == "data: [DONE]"

    busy = occupied(url, serving)
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=ASK, timeout=60) as stream:
        pieces = stream.iter_raw()
        assert next(pieces) == b"\n"
        busy.close()
        body = json.loads(b"".join(pieces))
    assert body["object"] == "chat.completion"

    busy = occupied(url, serving)
    message = {**ASK, "stream": True}
    with httpx.stream("POST", f"{url}/anthropic/v1/messages", json=message, timeout=60) as stream:
        lines = stream.iter_lines()
        events = [next(lines) for _ in range(4)]
        assert events[0] == "event: message_start"
        assert events[3] == "event: ping"
        busy.close()
        assert "event: message_stop" in list(lines)


def test_a_full_queue_says_when_to_come_back(narrow: tuple[str, Service]) -> None:
    url, serving = narrow
    busy = occupied(url, serving)
    waiting = threading.Thread(target=lambda: httpx.post(f"{url}/v1/chat/completions", json=ASK, timeout=60))
    waiting.start()
    until(lambda: serving.engine.stats().waiting == 1)
    refused = httpx.post(f"{url}/v1/chat/completions", json=ASK, timeout=60)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error"
    theirs = httpx.post(f"{url}/anthropic/v1/messages", json=ASK, timeout=60)
    assert theirs.status_code == 429
    assert theirs.json()["error"]["type"] == "rate_limit_error"
    busy.close()
    waiting.join()


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_stops_its_answer_and_pays_for_what_it_had(
    served: tuple[str, Service], streamed: bool
) -> None:
    url, serving = served
    before = serving.tally.calls, serving.tally.output_tokens
    client = httpx.Client(base_url=url, timeout=60)
    request = client.build_request("POST", "/v1/chat/completions", json={**LONG, "stream": streamed})
    if streamed:
        response = client.send(request, stream=True)
        lines = response.iter_lines()
        for _ in range(10):
            next(lines)
        response.close()
    else:
        body = json.dumps(LONG).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as plain:
            plain.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            made = serving.engine.stats().output_tokens
            until(lambda: serving.engine.stats().output_tokens > made + 5)
    until(lambda: serving.tally.calls == before[0] + 1)
    assert serving.engine.stats().running == 0
    assert 0 < serving.tally.output_tokens - before[1] < 1500


def test_a_slow_reader_holds_nobody_up(served: tuple[str, Service]) -> None:
    url, serving = served
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(
        {**LONG, "max_tokens": 400, "n": 3, "stream": True, "logprobs": True, "top_logprobs": 20}
    ).encode()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: serving.engine.stats().running == 3)
        answer = httpx.post(f"{url}/v1/chat/completions", json=ASK, timeout=60).json()
        assert answer["choices"][0]["message"]["role"] == "assistant"
        until(lambda: serving.engine.stats().running == 0)  # its answers are made, whether they are read or not
        slow.settimeout(60)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            piece = slow.recv(1 << 16)
            assert piece
            received += piece
    assert received.count(b'"finish_reason":"length"') == 3
    assert b"data: [DONE]" in received
    counted = sum(len(entries) for entries in _logprobs(received))
    assert counted == 3 * 400


def _logprobs(received: bytes) -> Iterator[list[Any]]:
    """The lists of log-probabilities in a chunked response's events."""
    body = received.partition(b"\r\n\r\n")[2]
    text = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        text += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    for line in text.decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                yield (choice["logprobs"] or {}).get("content", [])


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"not json", 400, None),
        (b"[]", 400, None),
        (b"{}", 400, "model"),
        ({**ASK, "messages": "hello"}, 400, "messages"),
        ({**ASK, "messages": []}, 422, "messages"),
        ({**ASK, "messages": [{"role": "wizard", "content": "x"}]}, 422, "messages.0.role"),
        ({**ASK, "messages": [{"role": "user"}]}, 400, "messages.0"),
        ({**ASK, "temperature": "hot"}, 400, "temperature"),
        ({**ASK, "temperature": 2.5}, 422, "temperature"),
        ({**ASK, "top_p": 0}, 422, "top_p"),
        ({**ASK, "max_tokens": 0}, 422, "max_tokens"),
        ({**ASK, "n": 100}, 422, "n"),
        ({**ASK, "stop": ["a"] * 17}, 422, "stop"),
        ({**ASK, "logprobs": True, "top_logprobs": 21}, 422, "top_logprobs"),
        ({**ASK, "logit_bias": {"one": 1}}, 422, "logit_bias"),
        ({**ASK, "logit_bias": {"999999": 1}}, 422, "logit_bias"),
        ({**ASK, "response_format": {"type": "json_schema"}}, 400, "response_format"),
        ({**ASK, "tool_choice": "required"}, 422, "tool_choice"),
        ({**ASK, "model": "other"}, 404, "model"),
    ],
)
def test_malformed_requests_get_a_sentence(http: httpx.Client, body: Any, status: int, param: str | None) -> None:
    given = {"content": body} if isinstance(body, bytes) else {"json": body}
    told = http.post("/v1/chat/completions", headers={"Content-Type": "application/json"}, **given)
    assert told.status_code == status, told.text
    error = told.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert error["message"].endswith(".")
    assert told.headers["x-request-id"].startswith("req_")


def test_paths_methods_and_hosts(http: httpx.Client) -> None:
    assert http.get("/v1/nothing").json()["error"]["message"] == "There is nothing at /v1/nothing."
    wrong = http.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert http.post("/anthropic/v1/messages", json={}).json()["type"] == "error"
    cross = http.post("/v1/chat/completions", content=json.dumps(ASK), headers={"Content-Type": "text/plain"})
    assert cross.status_code == 415  # what a foreign page may send without asking first
    rebound = http.get("/v1/models", headers={"Host": "evil.example"})
    assert rebound.status_code == 403
    assert http.get("/v1/models", headers={"Host": "localhost:1"}).status_code == 200


def test_what_prometheus_reads(http: httpx.Client, served: tuple[str, Service]) -> None:
    http.post("/v1/chat/completions", json=ASK).raise_for_status()
    families = {family.name: family for family in text_string_to_metric_families(http.get("/metrics").text)}
    tokens = {sample.labels["kind"]: sample.value for sample in families["centime_tokens"].samples}
    assert tokens["output"] == served[1].tally.output_tokens
    assert families["centime_list_price"].samples[0].labels == {"currency": "USD"}
    assert families["centime_running_requests"].samples[0].value == 0
    assert families["centime_call_seconds"].type == "histogram"
    health = http.get("/health").json()
    assert health == {"status": "ok", "model": "small", "running": 0, "waiting": 0}


def test_a_text_or_a_chat_as_tokens(http: httpx.Client, served: tuple[str, Service]) -> None:
    tokenizer = served[1].tokenizer
    told = http.post("/tokenize", json={"prompt": "the cat"}).json()
    assert told["tokens"] == [tokenizer.bos_id, *tokenizer.encode("the cat")]
    assert told["count"] == len(told["tokens"])
    chat = http.post("/tokenize", json={"messages": ASK["messages"]}).json()
    assert chat["tokens"] == tokenizer.encode(tokenizer.render_chat(ASK["messages"], add_generation_prompt=True))


def test_thinking_comes_first_and_only_the_answer_obeys_the_grammar(tmp_path: Path) -> None:
    with running(tmp_path, chat_format="v3.2") as (url, serving):
        end = serving.tokenizer.token_id("</think>")
        body = {
            **ASK, "max_tokens": 1500, "seed": 1, "logit_bias": {str(end): 4},
            "response_format": {"type": "regex", "regex": "[0-9]{4}"},
        }  # fmt: skip
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
        message, usage = answer["choices"][0]["message"], answer["usage"]
        assert len(message["content"]) == 4
        assert message["content"].isdigit()
        assert message["reasoning_content"]
        assert 1 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]
        chunks = httpx.post(f"{url}/v1/chat/completions", json={**body, "stream": True}, timeout=60).text.splitlines()
        deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in chunks if line.startswith("data: {")]
        parts = [name for delta in deltas for name in delta if name in {"reasoning_content", "content"} and delta[name]]
        assert parts == sorted(parts, reverse=True)  # the thought first
        for name in ("reasoning_content", "content"):
            assert "".join(delta.get(name) or "" for delta in deltas) == message[name]
        off = httpx.post(
            f"{url}/v1/chat/completions", json={**body, "thinking": {"type": "disabled"}}, timeout=60
        ).json()
        assert "reasoning_content" not in off["choices"][0]["message"]
        theirs = httpx.post(
            f"{url}/anthropic/v1/messages", timeout=60, json={**ASK, "max_tokens": 64, "thinking": {"type": "enabled"}}
        ).json()
        assert theirs["content"][0]["type"] == "thinking"
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        turns = [*ASK["messages"], {"role": "assistant", "content": "", "tool_calls": [call]}]
        turns.append({"role": "tool", "content": "1", "tool_call_id": "1"})
        tools = [{"type": "function", "function": {"name": "f"}}]
        forgetful = httpx.post(
            f"{url}/v1/chat/completions", json={**ASK, "messages": turns, "tools": tools}, timeout=60
        )
        assert forgetful.status_code == 400
        assert "reasoning_content" in forgetful.json()["error"]["message"]
