"""Greedy answers are what brute force gives, whatever shares the batch, the chunks and the cache; the clock adds up."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.settings import EngineSettings


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def made_model(tokenizer: Tokenizer, **changes: object) -> Transformer:
    config = small_config(tokenizer.vocab_size, positions=256)
    model = Transformer(config.model_copy(update=changes))
    model.init_weights(1)
    return model.eval()


@pytest.fixture(scope="module", params=["mla", "mtp", "plain"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    changes: dict[str, dict[str, object]] = {
        "mla": {},
        "mtp": {"num_nextn_predict_layers": 1},
        "plain": {"kv_lora_rank": None, "qk_nope_head_dim": 0, "v_head_dim": 8, "n_routed_experts": None},
    }
    return made_model(tokenizer, **changes[request.param])


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_answers_are_those_of_brute_force(model: Transformer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Random prompts, many with a beginning in common, in small caches, small steps, twice over (hits)."""
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    served = engine(
        model,
        tokenizer,
        step_tokens=data.draw(st.sampled_from([1, 3, 8, 64])),
        blocks=data.draw(st.sampled_from([24, 40, 64])),
        max_running=data.draw(st.sampled_from([1, 3, 16])),
        block_tokens=data.draw(st.sampled_from([1, 4])) if data.draw(st.booleans()) else 4,
    )
    common = [draw.randrange(tokenizer.vocab_size) for _ in range(20)]
    prompts = []
    for _ in range(data.draw(st.integers(1, 5))):
        shared = draw.randrange(len(common) + 1)
        prompts.append(common[:shared] + [draw.randrange(tokenizer.vocab_size) for _ in range(draw.randrange(1, 9))])
    prompts = [prompt[: served.context - 8] for prompt in prompts]
    asked = [Asked(prompt, max_tokens=6, owner=draw.choice("ab")) for prompt in prompts + prompts]
    run(served, *asked)
    for request in asked:
        assert request.tokens == brute_force(model, request.prompt, 6)
        assert request.end.reason == "length"
        assert request.end.usage.output_tokens == 6


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_draws_depend_on_the_seed_alone(model: Transformer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    """The same seed gives the same answer alone, in a crowd, from the cache, and after being preempted."""
    seed = data.draw(st.integers(-(2**63), 2**64))
    options = {"temperature": 0.8, "top_p": 0.9, "seed": seed, "max_tokens": 8}
    prompt = [5, 6, 7, 8, 9]
    alone = Asked(prompt, **options)
    run(engine(model, tokenizer), alone)
    crowded = engine(model, tokenizer, blocks=data.draw(st.integers(8, 20)), step_tokens=5)
    others = [Asked([*prompt, n], temperature=1.0, max_tokens=8) for n in range(4)]
    again = [Asked(prompt, **options) for _ in range(3)]
    run(crowded, *others, *again)
    assert {tuple(request.tokens) for request in [alone, *again]} == {tuple(alone.tokens)}


def test_full_caches_preempt_the_latest_and_lose_nothing(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer, blocks=9)
    asked = [Asked([n, n + 1, n + 2], max_tokens=20) for n in range(5)]
    run(served, *asked)
    assert served.stats().preemptions > 0
    for request in asked:
        assert request.tokens == brute_force(model, request.prompt, 20)
        assert request.end.usage.hit_tokens == 0  # what a preempted request finds again is no hit of the client's


def test_a_second_prompt_finds_the_first_ones_beginning(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer)
    first, second, other = Asked(range(3, 25)), Asked([*range(3, 20), 99]), Asked(range(3, 25), isolation="another's")
    for request in (first, second, other):
        run(served, request)
    assert first.end.usage.hit_tokens == 0
    assert second.end.usage.hit_tokens == 17  # four whole blocks, and one token of the fifth, copied
    assert other.end.usage.hit_tokens == 0
    assert served.stats().hit_tokens == 17
    assert served.stats().prompt_tokens == 22 + 18 + 22
    same = Asked(range(3, 25))
    run(served, same)
    assert same.end.usage.hit_tokens == 21  # the last token of a prompt is always computed
    assert same.tokens == first.tokens


def test_without_the_prefix_cache_every_prompt_is_computed_anew(
    model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    served = engine(model, tokenizer, prefix_cache=False)
    first, same = Asked(range(3, 25)), Asked(range(3, 25))
    for request in (first, same):
        run(served, request)
    assert same.end.usage.hit_tokens == 0
    assert same.tokens == first.tokens
    assert served.stats().blocks_cached == 0
    with pytest.raises(UserError, match="leave one out"):
        EngineSettings(prefix_cache=False, disk=tmp_path)


def test_an_aborted_request_ends_before_the_next_step(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer)
    leaving, staying, queued = Asked([3, 4], max_tokens=50), Asked([3, 5], max_tokens=6), Asked([3, 6])
    for request in (leaving, staying):
        served.submit(request)
    for _ in range(3):
        served.step()
    served.submit(queued)
    for request in (leaving, queued):
        served.abort(request.id)
    served.abort(10**9)
    while served.step():
        pass
    assert leaving.end.reason == queued.end.reason == "aborted"
    assert 0 < leaving.end.usage.output_tokens < 8
    assert leaving.end.usage.machine_ns > 0
    assert queued.events == [queued.end]
    assert staying.tokens == brute_force(model, staying.prompt, 6)
    assert served.stats().blocks_used == 0


def test_owners_take_turns(model: Transformer, tokenizer: Tokenizer) -> None:
    """A flood of one owner's requests does not hold up another's single one."""
    served = engine(model, tokenizer, max_running=1, blocks=200)
    flood, single = [Asked([3, 4, 5], owner="flood", max_tokens=4) for _ in range(6)], Asked([3, 4, 5], owner="single")
    run(served, *flood, single)
    ends = [request.end.usage.total_ns + request.arrived_ns for request in flood]
    assert single.end.usage.total_ns + single.arrived_ns < sorted(ends)[1]


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_shares_and_idle_time_are_the_wall_clock(model: Transformer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Over any stretch of steps, with aborts and preemption: nanosecond for nanosecond."""
    served = engine(model, tokenizer, blocks=12, step_tokens=7)
    began = served.clock._clock.until_ns
    asked: list[Asked] = []
    for action in data.draw(st.lists(st.sampled_from(["ask", "step", "step", "abort"]), max_size=25)):
        if action == "ask":
            asked.append(Asked([3, *range(len(asked) % 9)], max_tokens=1 + len(asked) % 7))
            served.submit(asked[-1])
        elif action == "abort" and asked:
            served.abort(asked[len(asked) // 2].id)
        else:
            served.step()
    while served.step():
        pass
    clock = served.clock._clock
    assert sum(request.end.usage.machine_ns for request in asked) == clock.busy_ns
    assert clock.busy_ns + clock.idle_ns == clock.until_ns - began
    assert served.stats().idle_ns > clock.idle_ns  # idle time goes on while nobody asks


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_drafts_change_the_speed_and_nothing_else(
    tokenizer: Tokenizer, temperature: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """With and without MTP's guesses, the same tokens; some guesses come true, and each saves a step. None fails, also
    beside answers that end in the middle of a block."""
    model = made_model(tokenizer, num_nextn_predict_layers=1)
    with torch.no_grad():  # a head whose favourites repeat, so that guesses come true now and then
        model.head_weight[40:44] *= 4
    answers, steps = [], []
    for drafts in (True, False):
        served = engine(model, tokenizer, drafts=drafts)
        asked = [Asked([n, 3], temperature=temperature, seed=n, max_tokens=27 + n) for n in range(4)]
        run(served, *asked)
        assert capsys.readouterr().err == ""
        answers.append([request.tokens for request in asked])
        steps.append(served.stats().steps)
        accepted = sum(request.end.usage.accepted_tokens for request in asked)
        assert accepted == served.stats().accepted_tokens
        assert (accepted > 0) == drafts
    assert answers[0] == answers[1]
    assert steps[0] < steps[1]


def test_after_a_beginning_that_was_found_as_much_is_guessed(
    tokenizer: Tokenizer,
) -> None:
    served = engine(made_model(tokenizer, num_nextn_predict_layers=1), tokenizer, drafts=True)
    drafted, answers = [0], []
    for _ in range(2):
        asked = Asked(range(3, 25), max_tokens=20)
        run(served, asked)
        drafted.append(served.stats().drafted_tokens)
        answers.append(asked.tokens)
    assert asked.end.usage.hit_tokens == 21
    assert answers[0] == answers[1]
    assert drafted[2] - drafted[1] == drafted[1] - drafted[0] > 0
