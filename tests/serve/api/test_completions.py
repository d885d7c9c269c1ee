"""Text completions as old clients ask for them: lists of prompts, several answers, stops, streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from tests.serve.api.completions import SENTENCES, ask, chunks, ids_of, joined
from tests.serve.api.running import running
from tests.serve.api.test_echoes import SLOWLY, TEXTS, check_places, check_scores

from centime.serve.api.service import Service
from centime.serve.protocol.completion_request import MAX_ANSWERS, MAX_REPORTED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    """Steps of 16 tokens: most prompts take several."""
    with running(tmp_path_factory.mktemp("served"), step_tokens=16) as found:
        yield found


@pytest.fixture(scope="module")
def client(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_every_form_of_a_prompt(client: OpenAI, served: tuple[str, Service]) -> None:
    serving = served[1]
    lists = [ids_of(serving, text) for text in SENTENCES]
    alone = [client.completions.create(model="small", prompt=text, max_tokens=6, temperature=0) for text in SENTENCES]
    texts = [one.choices[0].text for one in alone]
    assert len(set(texts)) > 1
    for prompt in (SENTENCES, lists):
        answer = client.completions.create(model="small", prompt=prompt, max_tokens=6, temperature=0)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert [choice.text for choice in answer.choices] == texts
        assert [choice.finish_reason for choice in answer.choices] == [one.choices[0].finish_reason for one in alone]
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == sum(map(len, lists))
        assert answer.usage.completion_tokens == sum(one.usage.completion_tokens for one in alone if one.usage)
    for single in (lists[1], [SENTENCES[1]], [lists[1]]):
        answer = client.completions.create(model="small", prompt=single, max_tokens=6, temperature=0)
        assert [choice.text for choice in answer.choices] == [texts[1]]


def test_n_answers_to_each_prompt_stand_together_and_the_prompt_is_charged_once(client: OpenAI, url: str) -> None:
    prompts = ["the cat" * 9, "the dog" * 9]
    answer = client.completions.create(model="small", prompt=prompts, n=3, max_tokens=5, seed=3)
    assert [choice.index for choice in answer.choices] == list(range(6))
    for number, prompt in enumerate(prompts):
        own = client.completions.create(model="small", prompt=prompt, n=3, max_tokens=5, seed=3)
        got = [choice.text for choice in answer.choices[number * 3 : number * 3 + 3]]
        assert got == [choice.text for choice in own.choices]
        assert len(set(got)) > 1
    usage = answer.usage
    assert usage is not None
    alone = [client.completions.create(model="small", prompt=one, max_tokens=1).usage for one in prompts]
    assert usage.prompt_tokens == sum(one.prompt_tokens for one in alone if one)
    told: dict[str, Any] = usage.model_extra or {}
    hit, miss = told["prompt_cache_hit_tokens"], told["prompt_cache_miss_tokens"]
    assert hit + miss == usage.prompt_tokens
    price = (hit * 0.1 + miss * 1 + usage.completion_tokens * 2) / 1e6
    assert float(told["cost"]["list_price"]) == pytest.approx(price, rel=1e-9)


WRONG = [
    ([], 422, "the list is empty"),
    ([[]], 422, "the list at 0 has no token ids"),
    ([[5], []], 422, "the list at 1 has no token ids"),
    (["a", 5], 400, "a text at 0 and a number at 1"),
    (["a", [5]], 400, "a text at 0 and a list at 1"),
    ([[5], "a"], 400, "a list at 0 and a text at 1"),
    ([5, "a"], 400, "the list has a text at 1"),
    ([5, [6]], 400, "the list has a list at 1"),
    ([[5, "a"]], 400, "the list at 0 has a text at 1"),
    ([["a"]], 400, "the list at 0 has a text at 0"),
    ([None], 400, "a list of null"),
    ([1.5], 400, "a list of a fraction"),
    ([True], 400, "a list of a truth value"),
    ([1, True], 400, "a truth value at 1"),
    ({"text": "a"}, 400, "found an object"),
    (7, 400, "found a number"),
    ([-1], 422, "not negative"),
    ([10**30], 422, "a number of more than 20 digits; this model knows ids from 0 to"),
    ([-(10**30)], 422, "a number of more than 20 digits"),
    ([[5], [299_999]], 422, "prompt 1 has token 299999"),
    (["a"] * (MAX_ANSWERS + 1), 422, f"one call may ask for {MAX_ANSWERS}"),
]


@pytest.mark.parametrize(("prompt", "status", "sentence"), WRONG)
def test_prompts_that_are_none(url: str, prompt: Any, status: int, sentence: str) -> None:
    answer = httpx.post(f"{url}/v1/completions", json={"model": "small", "prompt": prompt, "max_tokens": 2})
    error = answer.json()["error"]
    assert sentence in error["message"]
    assert (answer.status_code, error["param"]) == (status, "prompt")
    assert "prompt." not in error["message"]
    assert "Input should" not in error["message"]


def test_one_prompt_that_cannot_be_answered_refuses_the_call_and_leaves_nothing_behind(
    url: str, served: tuple[str, Service]
) -> None:
    before = served[1].engine.stats().finished
    body = {"model": "small", "prompt": ["the cat", "x " * 5000], "max_tokens": 500}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    stats = served[1].engine.stats()
    assert (stats.running, stats.waiting, stats.finished) == (0, 0, before)
    assert not served[1].calls


def test_a_client_that_leaves_stops_all_of_its_answers_and_is_charged_once(served: tuple[str, Service]) -> None:
    url, serving = served
    calls, finished = serving.tally.calls, serving.engine.stats().finished
    body = {"model": "small", "prompt": ["the cat"] * 8, "max_tokens": 1500, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60) as response:
        next(response.iter_lines())
    for _ in range(3000):
        if serving.tally.calls > calls:
            break
        time.sleep(0.01)
    stats = serving.engine.stats()
    assert (stats.running, stats.waiting, stats.finished) == (0, 0, finished + 8)
    assert serving.tally.calls == calls + 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("logprobs", True, "how many of the likeliest tokens"),
        ("logprobs", False, "how many of the likeliest tokens"),
        ("logprobs", 21, "20"),
        ("logprobs", -1, "0"),
        ("best_of", 3, "returns every answer"),
        ("prompt_logprobs", 1, "`echo` with `logprobs`"),
        ("max_tokens", -5, "0"),
    ],
)
def test_fields_that_are_refused(url: str, field: str, value: Any, sentence: str) -> None:
    answer = httpx.post(f"{url}/v1/completions", json={"model": "small", "prompt": "a", field: value})
    error = answer.json()["error"]
    assert sentence in error["message"]
    assert (answer.status_code, error["param"]) == (422, field)


def test_best_of_as_many_as_n(url: str) -> None:
    assert len(ask(url, prompt="the cat", n=2, best_of=2, max_tokens=2)["choices"]) == 2


def test_a_report_of_prompts_has_a_bound(url: str) -> None:
    prompts = [[5] * 2000] * (MAX_REPORTED // (2000 * 21) + 1)
    body = {"model": "small", "prompt": prompts, "max_tokens": 0, "echo": True, "logprobs": 20}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "logprobs"


def test_no_answer_at_all(url: str, served: tuple[str, Service]) -> None:
    told = ask(url, prompt="the cat", max_tokens=0)
    assert told["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]
    assert told["usage"]["completion_tokens"] == 0
    assert told["usage"]["prompt_tokens"] == len(ids_of(served[1], "the cat"))
    assert ask(url, prompt="the cat", max_tokens=0, echo=True)["choices"][0]["text"] == "the cat"
    scored = ask(url, prompt="the cat", max_tokens=0, echo=True, logprobs=2)["choices"][0]
    assert scored["text"] == "the cat"
    check_places(scored)
    check_scores(served[1], ids_of(served[1], "the cat"), scored, 2)


def test_a_stop_string_cuts_the_tokens_with_the_text(url: str) -> None:
    plain = ask(url, prompt="the cat", max_tokens=12)["choices"][0]["text"]
    stop = plain[3:6]
    cut = ask(url, prompt="the cat", max_tokens=12, stop=stop, echo=True, logprobs=0)["choices"][0]
    assert cut["text"] == "the cat" + plain[: plain.index(stop)]
    check_places(cut)


@given(
    prompts=st.lists(TEXTS, min_size=1, max_size=3),
    n=st.integers(1, 2),
    echo=st.booleans(),
    logprobs=st.sampled_from([None, 0, 2]),
    limit=st.integers(0, 8),
    stop=st.sampled_from([None, "t", "at"]),
    apart=st.booleans(),
)
@SLOWLY
def test_a_stream_says_the_same_and_tells_its_usage_once(
    url: str, prompts: list[str], n: int, echo: bool, logprobs: int | None, limit: int, stop: str | None, apart: bool
) -> None:
    body = {"prompt": prompts, "n": n, "echo": echo, "logprobs": logprobs, "max_tokens": limit, "stop": stop}
    whole = ask(url, **body)
    streamed = chunks(url, **body, **({"stream_options": {"include_usage": True}} if apart else {}))
    choices = joined(streamed)
    assert sorted(choices) == list(range(len(prompts) * n))
    for index, choice in choices.items():
        other = whole["choices"][index]
        assert (choice["text"], choice["finish_reason"]) == (other["text"], other["finish_reason"])
        if logprobs is not None and (echo or other["logprobs"]["tokens"]):
            for name in ("tokens", "text_offset"):
                assert choice["logprobs"][name] == other["logprobs"][name]
            assert choice["logprobs"]["token_logprobs"] == pytest.approx(other["logprobs"]["token_logprobs"], abs=1e-4)
            check_places(choice)
    told = [chunk["usage"] for chunk in streamed if chunk["usage"] is not None]
    assert len(told) == 1
    assert streamed[-1]["usage"] is not None
    assert (streamed[-1]["choices"] == []) == apart
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [told[0][name] for name in counts] == [whole["usage"][name] for name in counts]


def test_the_published_client_reads_a_stream_of_several_prompts(client: OpenAI) -> None:
    texts = ["", ""]
    for chunk in client.completions.create(
        model="small", prompt=["the cat", "the dog"], max_tokens=4, temperature=0, stream=True, echo=True, logprobs=1
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    whole = client.completions.create(
        model="small", prompt=["the cat", "the dog"], max_tokens=4, temperature=0, echo=True
    )
    assert texts == [choice.text for choice in whole.choices]
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="small", prompt=["a", 5])  # type: ignore[list-item,arg-type]
    assert refused.value.param == "prompt"
