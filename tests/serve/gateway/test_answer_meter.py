"""Counts are bounded and sane whatever an upstream tells; an answer without any is counted, and that is said once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loops import run_apart
from tests.serve.gateway.put import ASK, Put, key
from tests.serve.gateway.running import DONE, answer, chunk
from tests.serve.gateway.test_inbound import JSON

from centime.serve.gateway import sse
from centime.serve.gateway.answer_meter import AnswerMeter, StreamMeter
from centime.serve.gateway.inbound import ChatBody, Inbound, parse_inbound
from centime.serve.gateway.sse import events_of
from centime.serve.gateway.token_counts import TokenCounts, counts_of, output_of, texts_of, timed_counts, usage_body

NAMES = st.sampled_from([
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "prompt_cache_hit_tokens", "cached_tokens",
    "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_n", "prompt_n", "predicted_n",
])  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none() | st.just(10**400) | JSON
USAGES = st.dictionaries(NAMES, NUMBERS | st.dictionaries(NAMES, NUMBERS, max_size=2), max_size=5) | JSON


@given(USAGES)
def test_any_usage_has_sane_counts_or_none(usage: Any) -> None:
    for counts in (counts_of(usage), timed_counts(usage)):
        if counts is not None:
            assert all(type(number) is int for number in (counts.prompt, counts.hit, counts.output))
            assert 0 <= counts.hit <= counts.prompt
            assert counts.output >= 0
            within = counts.within(TokenCounts(10, 0, 5))
            assert 0 <= within.hit <= within.prompt <= 10
            assert within.output <= 5
    assert (output_of(usage) or 0) >= 0
    assert all(isinstance(text, str) for text in texts_of(usage))


@pytest.mark.parametrize(("count", "known"), [(0, True), (2**40, True), (2**40 + 1, False), (-1, False), (1.5, False)])
def test_a_count_is_whole_and_one_that_a_machine_can_have_made(count: float, known: bool) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": count}
    assert counts_of(usage) == (TokenCounts(7, 0, int(count)) if known else None)
    assert output_of({"output_tokens": count}) == (count if known else None)
    told = timed_counts({"cache_n": 2, "prompt_n": count, "predicted_n": 1})
    assert told == (TokenCounts(2 + int(count), 2, 1) if known else None)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 5}, (9, 5, 4)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 6}, "prompt_cache_hit_tokens": 5}, (9, 6, 0)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 12}}, (9, 9, 0)),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, (9, 0, 0)),
        ({"input_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}, (9, 3, 0)),
        ({"completion_tokens": 4}, None),
        ("prompt_tokens", None),
    ],
)
def test_every_shape_of_usage(usage: Any, counts: tuple[int, int, int] | None) -> None:
    assert counts_of(usage) == (None if counts is None else TokenCounts(*counts))


def test_timings_are_counts_once_they_tell_what_was_predicted() -> None:
    assert timed_counts({"cache_n": 2, "prompt_n": 3, "predicted_n": 4}) == TokenCounts(5, 2, 4)
    for timings in ({"prompt_n": 3}, "predicted_n", ["predicted_n"], None):
        assert timed_counts(timings) is None
    for usage in ({"input_tokens": 1}, "output_tokens", ["output_tokens"]):
        assert output_of(usage) is None


@pytest.mark.parametrize("kind", ["messages", "chat"])
def test_the_gateways_own_counting_reads_as_an_upstreams(kind: str) -> None:
    assert counts_of(usage_body(TokenCounts(9, 4, 3), kind)) == TokenCounts(9, 4, 3)


@pytest.mark.parametrize(
    ("counts", "chunks", "ended", "came", "final"),
    [
        (None, 0, False, False, False),  # nothing is charged
        (TokenCounts(9, 4, 0), 0, False, False, True),  # the prompt was read, and no more is known
        (TokenCounts(9, 4, 1), 0, False, True, True),  # a token without text
        (None, 1, False, True, False),
        (None, 0, True, True, False),
        (TokenCounts(9, 4, 0), 3, False, True, False),  # texts without tokens: those counts are none
        (TokenCounts(0, 0, 3), 3, True, True, False),
        (TokenCounts(9, 4, 3), 3, True, True, True),
    ],
)
def test_what_came_of_an_answer_and_whether_its_counts_fit_it(
    counts: TokenCounts | None, chunks: int, ended: bool, came: bool, final: bool
) -> None:
    meter = AnswerMeter(parse_inbound("chat", ChatBody.model_validate({}), {}, 100))
    meter.counts, meter.chunks, meter.ended = counts, chunks, ended
    assert meter.came == came
    assert meter.final_counts is None
    meter.final = True
    assert meter.final_counts == (counts if final else None)


EVENTS = st.lists(st.sampled_from([b"data: {}", b": ping", b"event: x\ndata: 1", b"data: a\ndata: b"]), max_size=6)


@given(EVENTS, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_events_are_the_same_however_they_are_cut(events: list[bytes], end: bytes, data: st.DataObject) -> None:
    whole = b"".join(event.replace(b"\n", end) + end + end for event in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))

    async def pieces() -> AsyncIterator[bytes]:
        for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            yield whole[start:stop]

    async def collect() -> list[bytes]:
        return [event async for event in events_of(pieces())]

    assert run_apart(collect()) == [event + b"\n\n" for event in events]


@pytest.mark.parametrize(("size", "whole"), [(100, True), (101, False)])
def test_an_event_is_no_longer_than_one_can_be(monkeypatch: pytest.MonkeyPatch, size: int, whole: bool) -> None:
    """Whatever its pieces: an upstream that never ends a line does not fill the memory. Those before it are given."""
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    given: list[bytes] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n" + b"x" * 60
        yield b"x" * (size - 60)
        yield b"\n\n"

    async def collect() -> None:
        async for event in sse.events_of(pieces()):
            given.append(event)

    if whole:
        run_apart(collect())
    else:
        with pytest.raises(sse.Malformed, match="an event of more than"):
            run_apart(collect())
    assert given == [b"data: 1\n\n", b"x" * 100 + b"\n\n"][: 1 + whole]


ABSURD = [
    None, "many", [], {}, {"prompt_tokens": -5, "completion_tokens": 3},
    {"prompt_tokens": True, "completion_tokens": True},
    {"prompt_tokens": "10", "completion_tokens": "2"}, {"prompt_tokens": 10.5, "completion_tokens": 2},
    {"prompt_tokens": 10**30, "completion_tokens": 2}, {"prompt_tokens": 10, "completion_tokens": -1},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
]  # fmt: skip


@pytest.mark.parametrize("usage", ABSURD, ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_readable_usage_is_counted(
    put: Callable[..., Put], capfd: pytest.CaptureFixture[str], usage: Any, stream: bool
) -> None:
    text = "word " * 20
    chunks = [chunk("word ") for _ in range(20)] + [chunk(finish="stop"), {"choices": [], "usage": usage}, DONE]
    made = put(lambda body: chunks if body.get("stream") else answer(text, 1, 1) | {"usage": usage}, owner="other")
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "one two three"}],
        "max_tokens": 50,
        "stream": stream,
    }
    for _ in range(2):
        assert made.post(body).status_code == 200
    requests, prompt, hit, output, _ = made.sums()
    assert (requests, hit) == (2, 0)
    assert output == 2 * 25  # a hundred bytes each
    assert prompt > 0
    told = [line for line in capfd.readouterr().err.splitlines() if "no usage" in line]
    assert len(told) == 1
    assert made.inner in told[0]


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_counts_is_asked(put: Callable[..., Put], stream: bool) -> None:
    chunks = [chunk("word "), chunk("and word"), chunk(finish="stop"), DONE]
    made = put(lambda body: chunks if body.get("stream") else answer("word and word", 1, 1) | {"usage": None})
    made.upstream.count = "words"
    asked = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 50}
    options = {"stream": stream, "stream_options": {"include_usage": True}}
    response = made.post(asked | options if stream else asked)
    assert made.sums()[:4] == (1, 3, 0, 3)
    usages = [json.loads(line[6:]).get("usage") for line in response.text.splitlines() if line.startswith("data: {")]
    usage = usages[-1] if stream else response.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (3, 3)
    assert usage["cost"]["list_price"] == "0.000015"


@pytest.mark.parametrize("stream", [False, True])
def test_more_than_was_reserved_is_never_charged(put: Callable[..., Put], stream: bool) -> None:
    usage = {"prompt_tokens": 10**6, "completion_tokens": 10**6}
    chunks = [chunk("x"), chunk(finish="stop"), {"choices": [], "usage": usage}, DONE]
    made = put(lambda body: chunks if body.get("stream") else answer("x", 1, 1) | {"usage": usage})
    header = key(made, budget="$0.01")
    assert made.post(ASK | {"max_tokens": 10, "stream": stream}, **header).status_code == 200
    requests, prompt, _, output, spent = made.sums()
    assert (requests, output) == (1, 10)
    assert prompt <= 1000
    assert spent <= 10**10


def test_a_whole_answer_whose_client_leaves_is_charged_at_the_pace_of_others(put: Callable[..., Put]) -> None:
    async def reply(body: dict[str, Any]) -> Any:
        await asyncio.sleep(0.2 if body["max_tokens"] < 100 else 3)
        return answer("Hello", 20, body["max_tokens"])

    made = put(reply)
    made.upstream.count = 7
    for _ in range(3):
        assert made.post(ASK | {"max_tokens": 50}).status_code == 200  # about 250 tokens a second
    before = made.sums()
    with pytest.raises(Exception, match="timed out"):
        made.client.post("/v1/chat/completions", json=ASK | {"max_tokens": 900, "n": 2}, timeout=1.0)
    after = made.sums()
    requests, prompt, hit, output = (new - old for new, old in zip(after[:4], before[:4], strict=True))
    assert (requests, prompt, hit) == (1, 7, 0)
    assert 0 < output <= 1800
    assert output % 2 == 0  # of two answers side by side
    assert made.gateway.pool.running == 0


def test_the_estimate_is_no_more_than_was_asked_for(put: Callable[..., Put]) -> None:
    left = threading.Event()

    async def reply(body: dict[str, Any]) -> Any:
        while not left.is_set():
            await asyncio.sleep(0.05)
        return answer("Hello", 20, 3)

    made = put(reply)
    with pytest.raises(Exception, match="timed out"):
        made.client.post(
            "/v1/chat/completions", json=ASK | {"max_tokens": 3}, timeout=4.0
        )  # on busy cores too it has reached the other server by then
    left.set()
    assert made.sums()[3] == 3


def test_usage_is_told_once(put: Callable[..., Put]) -> None:
    """Clients add up what they are told: on the chunk that ends an answer and after it would be double."""
    usage = {"prompt_tokens": 100, "completion_tokens": 2}
    made = put(
        [chunk("Hello"), chunk(finish="stop", usage=usage), {"choices": [], "usage": usage}, DONE], owner="other"
    )
    told = [event["usage"] for event in made.events(stream_options={"include_usage": True})[:-1] if event.get("usage")]
    assert [body["prompt_tokens"] for body in told] == [100]
    assert not [event for event in made.events()[:-1] if event.get("usage")]


@given(
    st.lists(
        USAGES
        | st.dictionaries(
            st.sampled_from(["choices", "usage", "type", "message", "delta", "error", "timings"]), JSON | USAGES
        ),
        max_size=5,
    )
)
def test_no_event_is_too_odd_to_be_read(bodies: list[Any]) -> None:
    for kind in ("chat", "messages"):
        inbound = Inbound(kind, {}, True, True, False, 1, 1, 10, 10)  # type: ignore[arg-type]
        meter = StreamMeter(inbound)
        for body in bodies:
            meter.take(b"data: " + json.dumps(body).encode() + b"\n\n")
        meter.last_events(None, None)
        assert meter.counts is None or meter.counts.output >= 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_echoed_prompt_is_no_output(
    put: Callable[..., Put], capfd: pytest.CaptureFixture[str], stream: bool
) -> None:
    """Its text has come, and no token of an answer: the upstream's zero is right."""
    shown = {"index": 0, "text": "one two three", "finish_reason": "stop"}
    told = {"usage": {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}}
    chunks = [{"choices": [shown]}, {"choices": [], **told}, DONE]
    made = put(lambda body: chunks if body.get("stream") else {"choices": [shown], **told}, owner="other")
    asked = {"model": "m", "prompt": "one two three", "echo": True, "stream": stream, "max_tokens": 50}
    assert made.post(asked, "/v1/completions").status_code == 200
    assert made.sums()[:4] == (1, 3, 0, 0)
    assert "no usage" not in capfd.readouterr().err
