"""Prompts echoed with log-probabilities, as scorers ask for them: those of one plain pass, at the places said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.api.completions import SENTENCES, ask, ids_of
from tests.serve.api.running import running

from centime.serve.api.service import Service

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4  # in fp32, between a packed step over a paged cache and one plain pass

TEXTS = st.text(st.sampled_from("the cat\n\t\x00\x7f\x85é🙂猫👩‍👩‍👧e\u0301\u2028<｜User｜>"), max_size=30)

SLOWLY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    """Steps of 16 tokens: most prompts take several."""
    with running(tmp_path_factory.mktemp("served"), step_tokens=16) as found:
        yield found


def expected(serving: Service, ids: list[int]) -> torch.Tensor:
    """Log-probabilities [T, V] after each token, by one plain pass."""
    with torch.inference_mode():
        model = serving.engine.model  # type: ignore[attr-defined]
        return model(torch.tensor([ids]))[0].float().log_softmax(-1)


def check_scores(serving: Service, ids: list[int], choice: Any, best: int) -> None:
    """A choice that echoes `ids`, and what it answers, against the plain pass."""
    told = choice["logprobs"]
    assert len(told["tokens"]) == len(told["token_logprobs"]) == len(told["top_logprobs"]) == len(told["text_offset"])
    assert told["token_logprobs"][0] is None
    assert told["top_logprobs"][0] is None
    after = expected(serving, ids)
    for place in range(1, len(ids)):
        assert told["token_logprobs"][place] == pytest.approx(float(after[place - 1, ids[place]]), abs=TOLERANCE)
        likeliest = sorted(told["top_logprobs"][place].values(), reverse=True)[:best]
        for found, wanted in zip(likeliest, after[place - 1].topk(best).values.tolist(), strict=False):
            assert found == pytest.approx(wanted, abs=TOLERANCE)
        assert told["top_logprobs"][place][told["tokens"][place]] == told["token_logprobs"][place]
    if len(told["tokens"]) > len(ids):
        assert told["top_logprobs"][len(ids)][told["tokens"][len(ids)]] == told["token_logprobs"][len(ids)]
        assert max(told["top_logprobs"][len(ids)].values()) == pytest.approx(float(after[-1].max()), abs=TOLERANCE)


def check_places(choice: Any) -> None:
    """Tokens joined are the text, and each stands where it is said to stand."""
    told = choice["logprobs"]
    assert "".join(told["tokens"]) == choice["text"]
    assert told["text_offset"] == sorted(told["text_offset"])
    for token, offset in zip(told["tokens"], told["text_offset"], strict=True):
        assert choice["text"][offset : offset + len(token)] == token


@given(
    prompts=st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=60), min_size=1, max_size=4),
    best=st.integers(0, 20),
    limit=st.integers(0, 3),
)
@SLOWLY
def test_scores_of_any_tokens_are_those_of_the_plain_pass(
    served: tuple[str, Service], prompts: list[list[int]], best: int, limit: int
) -> None:
    answer = ask(served[0], prompt=prompts, max_tokens=limit, echo=True, logprobs=best)
    for ids, choice in zip(prompts, answer["choices"], strict=True):
        assert choice["text"].startswith(served[1].tokenizer.decode(ids))
        check_places(choice)
        check_scores(served[1], ids, choice, best)


@given(text=TEXTS, limit=st.integers(0, 6))
@SLOWLY
def test_scores_of_any_text_and_where_its_tokens_stand(served: tuple[str, Service], text: str, limit: int) -> None:
    choice = ask(served[0], prompt=text, max_tokens=limit, echo=True, logprobs=1)["choices"][0]
    assert choice["text"].startswith(text)
    check_places(choice)
    check_scores(served[1], ids_of(served[1], text), choice, 1)


def test_a_begun_prompt_that_is_cached_is_scored_all_the_same(url: str, served: tuple[str, Service]) -> None:
    prompt = "the cat sat on the mat and the dog ate the hat " * 6
    first = ask(url, prompt=prompt, max_tokens=1)
    again = ask(url, prompt=prompt, max_tokens=1)
    assert again["usage"]["prompt_cache_hit_tokens"] > first["usage"]["prompt_cache_hit_tokens"]
    for _ in range(2):
        scored = ask(url, prompt=prompt, max_tokens=1, echo=True, logprobs=1)
        check_scores(served[1], ids_of(served[1], prompt), scored["choices"][0], 1)


def test_scores_beside_other_requests(url: str, served: tuple[str, Service]) -> None:
    over = threading.Event()

    def chatter(number: int) -> None:
        while not over.is_set():
            ask(url, prompt=f"the dog {number}", max_tokens=20, seed=number, temperature=1)

    threads = [threading.Thread(target=chatter, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        prompts = [ids_of(served[1], text * 3) for text in SENTENCES]
        scored = ask(url, prompt=prompts, max_tokens=1, echo=True, logprobs=3)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    for ids, choice in zip(prompts, scored["choices"], strict=True):
        check_scores(served[1], ids, choice, 3)


def test_an_end_token_is_reported_so_that_counting_from_the_end_finds_the_prompt(
    url: str, served: tuple[str, Service]
) -> None:
    tokenizer = served[1].tokenizer
    ids = ids_of(served[1], "the cat sat")
    choice = ask(url, prompt=[ids], max_tokens=1, echo=True, logprobs=1, logit_bias={str(tokenizer.eos_id): 100})
    choice = choice["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["text"] == tokenizer.decode(ids)
    check_places(choice)
    assert len(choice["logprobs"]["token_logprobs"]) == len(ids) + 1
    own = float(expected(served[1], ids)[-1, tokenizer.eos_id])
    assert choice["logprobs"]["token_logprobs"][-1] == pytest.approx(own, abs=TOLERANCE)
    assert choice["logprobs"]["tokens"][-1] == ""
