"""Owners share the machine: while one floods it, another gets its first token within a stated number of steps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.engine.made import Asked, brute_force, engine
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Finished, QueueFull
from centime.serve.engine.scheduler import PROTECTED_TOKENS


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    made = Transformer(small_config(tokenizer.vocab_size, positions=512))
    made.init_weights(1)
    return made.eval()


def most_steps(prompt: int, owners: int, step_tokens: int) -> int:
    """Until the first token of an owner who had nothing running, where its prompt fits its share of the cache.

    Prompts have half of a step's tokens, taken by the least served owner: of k owners each has a k-th of that in the
    long run, and may be ahead by the piece that a step computed. docs/serve.md states this bound.
    """
    share = max(1, step_tokens // 2)
    return 2 * owners + 2 * -(-owners * prompt // share)


def steps_until(served: Engine, request: Asked) -> int:
    """Steps from now to the first token of a request."""
    for number in range(1, 3000):
        served.step()
        if request.tokens:
            return number
    raise AssertionError("it never came")


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_first_token_comes_within_the_bound(model: Transformer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Floods of any shape: many short answers, few long ones, long prompts, with places or cache or both used up."""
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    places, step_tokens = data.draw(st.sampled_from([2, 4, 8])), data.draw(st.sampled_from([1, 2, 8, 64]))
    blocks = data.draw(st.sampled_from([40, 80, 300]))
    served = engine(model, tokenizer, max_running=places, step_tokens=step_tokens, blocks=blocks, check=False)
    floods = ["a", "b"][: data.draw(st.integers(1, 2))] if places > 2 else ["a"]
    for number in range(places * 3):
        long = draw.random() < 0.5
        prompt = [3, *(draw.randrange(5, 290) for _ in range(draw.randrange(1, 100 if long else 9)))][: blocks - 8]
        served.submit(Asked(prompt, owner=floods[number % len(floods)], max_tokens=400))
    for _ in range(draw.randrange(1, 60)):
        served.step()
    quiet = Asked([3, *range(5, 5 + draw.randrange(1, 20))], owner="quiet", max_tokens=4)
    owners = len(floods) + 1
    assert len(quiet.prompt) + 5 <= blocks * 4 // owners, "it fits its share"
    served.submit(quiet)
    assert steps_until(served, quiet) <= most_steps(len(quiet.prompt), owners, step_tokens)


@pytest.mark.parametrize(("ahead", "passes"), [(0, True), (151, True), (152, False)])
def test_who_fits_its_share_passes_one_that_waits_for_room_and_only_so_often(
    model: Transformer, tokenizer: Tokenizer, ahead: int, passes: bool
) -> None:
    """One answer holds half of the cache and another needs more than the rest of it: a short one need not wait for it,
    until its owner was served more than what the large one asks for."""
    served = engine(model, tokenizer, blocks=60, step_tokens=64)
    large = Asked([3, *range(7, 157)], owner="b", max_tokens=4)
    served.submit(Asked([3, *range(5, 125)], owner="a", max_tokens=80))
    for _ in range(4):
        served.step()
    served.submit(large)
    served.step()
    assert not large.tokens
    quiet = Asked([3, 9, 8], owner="quiet", max_tokens=4)
    served.submit(quiet)
    served.scheduler._served["quiet"] = served.scheduler._served["b"] + ahead
    steps = steps_until(served, quiet)
    assert (steps <= most_steps(3, 3, 64)) == passes
    assert bool(large.tokens) != passes
    while served.step():
        pass
    for request in (quiet, large):
        assert request.tokens == brute_force(model, request.prompt, 4)


def test_the_only_request_of_an_owner_keeps_its_place_for_a_while(model: Transformer, tokenizer: Tokenizer) -> None:
    """One answer holds the whole cache: another's comes when that one has gone on for a while; both are answered."""
    served = engine(model, tokenizer, blocks=60, step_tokens=64)
    whole = Asked([3, *range(5, 205)], owner="a", max_tokens=30)
    served.submit(whole)
    for _ in range(8):
        served.step()
    other = Asked([3, *range(6, 106)], owner="b", max_tokens=8)
    served.submit(other)
    assert steps_until(served, other) <= PROTECTED_TOKENS + most_steps(101, 2, 64)
    while served.step():
        pass
    for request in (whole, other):
        assert request.tokens == brute_force(model, request.prompt, request.params.max_tokens)
    assert served.stats().preemptions == 0, "it ended before it had gone on for so long"


@pytest.mark.parametrize(("step_tokens", "budgets"), [(16, [8, 8]), (5, [2, 2]), (2, [1, 1]), (1, [1, 0, 1, 0])])
def test_answers_have_half_of_a_step_while_a_prompt_is_read(
    model: Transformer, tokenizer: Tokenizer, step_tokens: int, budgets: list[int]
) -> None:
    served = engine(model, tokenizer, step_tokens=step_tokens)
    assert served.scheduler._decode_budget(all_decode=True) == step_tokens
    served.submit(Asked([3, *range(5, 45)], max_tokens=1))
    served.step()
    read = served.scheduler.running[0].computed
    assert read == step_tokens, "a prompt has what answers leave"
    served.scheduler._prompts_first = False
    assert [served.scheduler._decode_budget(all_decode=False) for _ in budgets] == budgets


def test_places_are_shared_and_nothing_is_lost(model: Transformer, tokenizer: Tokenizer) -> None:
    """Whoever was preempted for another is answered all the same, and as it would have been alone."""
    served = engine(model, tokenizer, max_running=4, blocks=300)
    flood = [Asked([3, 5 + n], owner="flood", max_tokens=30) for n in range(6)]
    for request in flood:
        served.submit(request)
    for _ in range(6):
        served.step()
    others = [Asked([3, 90 + n], owner="other", max_tokens=12) for n in range(5)]
    for request in others:
        served.submit(request)
    served.step()
    owners = [g.request.owner for g in served.scheduler.running]
    assert owners.count("flood") == owners.count("other") == 2
    while served.step():
        pass
    assert served.stats().preemptions == 2
    for request in flood + others:
        assert request.tokens == brute_force(model, request.prompt, request.params.max_tokens)


def test_the_queue_is_per_owner(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer, max_running=1, max_waiting=3)
    for _ in range(3):
        served.submit(Asked([3, 4], owner="flood"))
    with pytest.raises(QueueFull, match="of 'flood' wait"):
        served.submit(Asked([3, 4], owner="flood"))
    quiet = Asked([3, 4], owner="quiet")
    served.submit(quiet)
    while served.step():
        pass
    assert isinstance(quiet.end, Finished)
    served.submit(Asked([3, 4], owner="flood"))


def test_decoding_and_prompts_share_a_step(model: Transformer, tokenizer: Tokenizer) -> None:
    """With answers of as many owners as a step has tokens, a prompt comes in; with prompts coming on, answers go on."""
    served = engine(model, tokenizer, max_running=16, step_tokens=4, blocks=300)
    answers = [Asked([3, 5 + n], owner=str(n), max_tokens=200) for n in range(6)]
    for request in answers:
        served.submit(request)
    while not all(request.tokens for request in answers):
        served.step()
    late = Asked([3, *range(5, 45)], owner="late", max_tokens=4)
    served.submit(late)
    before = [len(request.tokens) for request in answers]
    assert steps_until(served, late) <= most_steps(41, 7, 4)
    assert all(len(request.tokens) > count for request, count in zip(answers, before, strict=True))
