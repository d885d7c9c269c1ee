"""The gateway in front of servers that behave as vLLM, SGLang and llama-server do, and as no server should."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from tests.serve.gateway.put import ASK, COST, STREAM, Put, settled
from tests.serve.gateway.running import DONE, Scripted, answer, chunk, gateway_over, serving, usage, usage_chunk

from centime.ledger.served import engine_hours, served_rows


def test_a_whole_answer_is_passed_on_with_its_cost(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 2, 60))
    body = made.post(ASK | {"temperature": 0.5, "own_field": [1]}).json()
    cost = body["usage"].pop("cost")
    assert body == answer("Hello", 100, 2, 60)
    assert made.upstream.bodies == [ASK | {"temperature": 0.5, "own_field": [1]}]  # nothing else was touched
    assert (cost["list_price"], cost["currency"], cost["price_list"]) == ("0.000146", "USD", "1,2,3")
    assert float(cost["machine_cost"]) == pytest.approx(cost["machine_seconds"] / 1000, rel=1e-3)
    assert made.sums() == (1, 100, 60, 2, COST)


def test_a_stream_passes_through_and_its_usage_stays_hidden(put: Callable[..., Put]) -> None:
    made = put(STREAM)
    assert made.events() == [*STREAM[:3], "[DONE]"]
    assert made.upstream.bodies[0]["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert made.sums() == (1, 100, 60, 2, COST)


def test_who_asks_for_the_usage_gets_it_with_the_cost_before_the_end(put: Callable[..., Put]) -> None:
    made = put(STREAM, owner="other")
    *chunks, last, done = made.events(stream_options={"include_usage": True})
    assert chunks == STREAM[:3]
    assert done == "[DONE]"
    assert last["usage"].pop("cost")["list_price"] == "0.000146"
    assert last == STREAM[3]
    assert made.upstream.bodies[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("end", [[DONE], [usage_chunk(9, 2), DONE], [chunk(usage={"prompt_tokens": "?"}), DONE], []])
def test_whoever_counted_the_usage_comes_between_the_last_word_and_the_end(
    put: Callable[..., Put], end: list[Any]
) -> None:
    made = put([chunk("Hel"), chunk("lo"), chunk(finish="stop"), *end])
    events = made.events(stream_options={"include_usage": True})
    done = [at for at, event in enumerate(events) if event == "[DONE]"]
    assert done == ([len(events) - 1] if DONE in end else [])
    counted = [at for at, event in enumerate(events) if event != "[DONE]" and event.get("usage")]
    assert counted == [len(events) - 1 - len(done)]
    assert events[counted[0]]["usage"]["completion_tokens"] > 0
    assert (
        "".join(choice["delta"].get("content", "") for event in events[: counted[0]] for choice in event["choices"])
        == "Hello"
    )


def test_usage_told_with_every_chunk_is_taken_out(put: Callable[..., Put]) -> None:
    chunks = [chunk("Hel", usage=usage(100, 1)), chunk("lo", "stop", usage=usage(100, 2)), usage_chunk(100, 2), DONE]
    made = put(chunks)
    assert made.events() == [chunk("Hel"), chunk("lo", "stop"), "[DONE]"]
    asked = made.events(stream_options={"include_usage": True})
    assert [event.get("usage", "none") for event in asked[:2]] == [None, None]
    assert asked[2]["usage"]["prompt_tokens"] == 100
    assert made.sums() == (2, 200, 0, 4, 2 * (100 * 2 + 2 * 3) * 10**6)


def test_llama_servers_timings_count_an_answer_cut_short(put: Callable[..., Put]) -> None:
    def timed(text: str, number: int) -> dict[str, Any]:
        return chunk(text, timings={"cache_n": 60, "prompt_n": 40, "predicted_n": number, "predicted_ms": 1.0})

    made = put([timed("Hel", 1), timed("lo", 3), 0.05, RuntimeError("on purpose")], owner="llamacpp")
    assert made.events()[:2] == [chunk("Hel"), chunk("lo")]
    assert made.upstream.bodies[0]["timings_per_token"] is True
    assert made.sums()[:4] == (1, 100, 60, 3)
    assert made.events(timings_per_token=True)[:2] == [timed("Hel", 1), timed("lo", 3)]


def test_the_charge_is_booked_before_the_end_is_told(put: Callable[..., Put]) -> None:
    """Whoever reads the chunk with the finish_reason finds the charge in the ledger."""
    made = put([chunk("Hello"), chunk(finish="stop"), 0.2, usage_chunk(100, 2, 60), DONE])
    ledger = made.home / "ledger.sqlite"
    with made.client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as response:
        for line in response.iter_lines():
            rows = served_rows(sqlite3.connect(ledger))
            if '"finish_reason": "stop"' in line or "[DONE]" in line:
                assert [row.list_pico for row in rows] == [COST]
            elif "Hello" in line:
                assert rows == []


def test_a_client_that_leaves_ends_the_upstreams_work_and_pays_for_what_came(put: Callable[..., Put]) -> None:
    made = put([*(chunk("x", usage=usage(50, i + 1)) for i in range(5)), 60, chunk(finish="stop"), DONE])
    with made.client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as response:
        lines = response.iter_lines()
        while sum("x" in next(lines) for _ in range(2)) == 0:
            pass
    assert made.upstream.left.wait(10), "the upstream works on for nobody"
    requests, prompt, _, output, _ = made.sums()
    assert (requests, prompt) == (1, 50)
    assert 1 <= output <= 5


def test_a_client_that_leaves_where_no_usage_was_told_pays_what_is_counted(put: Callable[..., Put]) -> None:
    made = put([*([chunk("x ")] * 5), 60, DONE], owner="other")
    made.upstream.count = "words"
    body = {"model": "m", "prompt": "one two three", "stream": True}
    with made.client.stream("POST", "/v1/completions", json=body) as response:
        seen = ""
        for piece in response.iter_text():
            seen += piece
            if seen.count('"x "') == 5:
                break
    assert made.upstream.left.wait(10)
    assert made.sums()[:4] == (1, 3, 0, 5)


def test_an_answer_of_which_nothing_came_costs_nothing(put: Callable[..., Put]) -> None:
    made = put([60, *STREAM], patience=0.05)
    with made.client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as response:
        assert next(response.iter_lines()) == ": keep-alive"
    assert made.upstream.left.wait(10)
    assert made.sums() == (0, 0, 0, 0, 0)
    assert made.gateway.accounts.balance(made.gateway.accounts.authenticate(None)).held == 0


def test_signs_of_life_while_it_waits(put: Callable[..., Put]) -> None:
    made = put([0.3, *STREAM], patience=0.05)
    text = made.post(ASK | {"stream": True}).text
    assert text.startswith(": keep-alive\n\n")
    assert "data: [DONE]" in text


def test_a_connection_that_breaks_is_told_and_what_came_is_charged(put: Callable[..., Put]) -> None:
    made = put([chunk("x", usage=usage(50, 1)), chunk("y", usage=usage(50, 2)), 0.1, RuntimeError("on purpose")])
    events = made.events()
    assert events[:2] == [chunk("x"), chunk("y")]
    assert events[2]["error"]["code"] == "upstream_lost"
    assert made.sums()[:4] == (1, 50, 0, 2)


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (JSONResponse({"error": {"message": "too long", "code": "ctx"}}, 400), 400, "too long"),
        (JSONResponse({"object": "error", "message": "no such model"}, 404), 404, "no such model"),
        (JSONResponse({"error": "busy"}, 503), 503, "busy"),
        (JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "7"}), 429, "slow down"),
        (JSONResponse({}, 401), 503, "refuses the gateway"),
        (PlainTextResponse("oops", 500), 500, "The model's server answered 500"),
        (PlainTextResponse("no json"), 503, "no JSON object"),
        (JSONResponse([1]), 503, "no JSON object"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_upstream_refuses_is_told_and_costs_nothing(
    put: Callable[..., Put], reply: Any, status: int, said: str, stream: bool
) -> None:
    if stream and reply.status_code == 200:
        pytest.skip("a stream of nothing is an answer of nothing")
    made = put(reply)
    response = made.post(ASK | {"stream": stream})
    assert response.status_code == status
    assert said in response.json()["error"]["message"]
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)
    assert made.sums()[0] == 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"[" * 5_000, 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        (b"[1]", 400, "a JSON list; expected an object"),
        (ASK | {"max_tokens": 0}, 422, "max_tokens"),
        (ASK | {"n": 129}, 422, "n"),
        (ASK | {"n": [1]}, 400, "n"),
        (ASK | {"stream": "perhaps"}, 400, "stream"),
        (ASK | {"stream_options": {"include_usage": []}}, 400, "include_usage"),
        (ASK | {"max_tokens": 10**30}, 422, "max_tokens"),
        (ASK | {"max_tokens": 2**31, "n": 128, "prompt": ["a"] * 100}, 422, "ask for fewer"),
        (ASK | {"max_completion_tokens": "many"}, 400, "max_completion_tokens"),
    ],
)
def test_bodies_that_cannot_be_priced(put: Callable[..., Put], body: Any, status: int, said: str) -> None:
    made = put(STREAM)
    response = made.post(body)
    assert (response.status_code, said in response.json()["error"]["message"]) == (status, True)
    assert made.upstream.bodies == []


def test_an_upstream_that_is_gone(tmp_path: Path) -> None:
    with ExitStack() as outer:
        with ExitStack() as inner:
            upstream = Scripted(lambda _: STREAM)
            url = inner.enter_context(serving(upstream.app))
            own, gateway = outer.enter_context(gateway_over(url, tmp_path))
            assert httpx2.get(own + "/health").json() == {"status": "ok", "running": 0}
        assert httpx2.get(own + "/health").status_code == 503
        for stream in (False, True):
            response = httpx2.post(own + "/v1/chat/completions", json=ASK | {"stream": stream})
            assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_lost")
        assert httpx2.get(own + "/v1/models").status_code == 503
        settled(gateway)


def test_embeddings_cost_their_prompt(put: Callable[..., Put]) -> None:
    made = put({"object": "list", "data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}})
    response = made.post({"model": "m", "input": ["a", "b"]}, "/v1/embeddings")
    assert response.json()["usage"]["cost"]["list_price"] == "0.000014"


def test_what_costs_tokens_and_cannot_be_priced_is_not_passed_on(put: Callable[..., Put]) -> None:
    made = put(STREAM)
    assert made.post(path="/v1/rerank").status_code == 404
    assert made.upstream.bodies == []


def test_metrics(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 2, 60))
    made.post()
    page = made.client.get("/metrics").text
    assert 'centime_tokens_total{kind="hit"} 60.0' in page
    assert "centime_running_requests 0.0" in page


def test_machine_time_is_shared_and_whole(put: Callable[..., Put]) -> None:
    """Six requests side by side: their shares and the idle time are the time since the gateway was made."""
    made = put([chunk("x"), 0.2, *STREAM[1:]])
    began = time.monotonic_ns()
    threads = [threading.Thread(target=made.events) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic_ns() - began
    served = sum(row.machine_ns for row in made.served())
    totals = made.gateway.pool.backends[0].clock.totals()
    assert served == totals.requests_ns <= took  # side by side they had no more than the time that passed
    made.gateway.accounts.machine_time(totals)
    (hour,) = engine_hours(sqlite3.connect(made.home / "ledger.sqlite"))[-1:]
    assert hour.requests_ns + hour.idle_ns > 0
