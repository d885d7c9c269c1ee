"""Samples for learning: what is told of a draw is what the model says; no company, order or restart moves it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.rollouts import Rollout, RolloutEngine

CACHE = 1 << 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def made(tokenizer: Tokenizer, seed: int = 0, **changes: object) -> Transformer:
    model = Transformer(small_config(tokenizer.vocab_size, positions=96).model_copy(update=changes))
    model.init_weights(seed)
    return model.eval()


@pytest.fixture(scope="module", params=[0, 1], ids=["plain", "drafts"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    return made(tokenizer, num_nextn_predict_layers=request.param)


@torch.inference_mode()
def raw(model: Transformer, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Logits [answer, V] that each token of the answer was drawn from, by the training forward pass."""
    logits: torch.Tensor = model(torch.tensor([[*prompt, *answer]]))[0, len(prompt) - 1 : -1]
    return logits


def key(rollout: Rollout) -> tuple[list[int], str]:
    return rollout.tokens, rollout.finish


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32))
def test_every_draw_is_told_as_the_model_has_it(model: Transformer, tokenizer: Tokenizer, number: int) -> None:
    draw = random.Random(number)
    prompts = [[draw.randrange(300) for _ in range(draw.randrange(1, 40))] for _ in range(3)]
    params = SamplingParams(
        max_tokens=draw.randrange(1, 20),
        temperature=draw.choice([0.7, 1.0, 1.6]),
        top_p=draw.choice([1.0, 0.8]),
        top_k=draw.choice([0, 5]),
        stop_token_ids=tuple(draw.sample(range(300), 20)),
    )
    engine = RolloutEngine(model, tokenizer, together=draw.choice([2, 64]), cache_bytes=CACHE)
    for prompt, group in zip(prompts, engine.sample(prompts, 4, params, seed=number), strict=True):
        assert len(group) == 4
        for rollout in group:
            logits = raw(model, prompt, rollout.tokens)
            own = logits.log_softmax(-1)[range(len(rollout.tokens)), rollout.tokens]
            torch.testing.assert_close(torch.tensor(rollout.logprobs), own, atol=2e-5, rtol=1e-4)
            warm = (logits / params.temperature).log_softmax(-1)[range(len(rollout.tokens)), rollout.tokens]
            drawn = torch.tensor(rollout.drawn_logprobs)
            if params.top_p == 1 and not params.top_k:
                torch.testing.assert_close(drawn, warm, atol=2e-5, rtol=1e-4)
            else:  # what the cuts leave has more probability each
                assert bool((drawn >= warm - 1e-4).all())
                assert bool((drawn <= 0).all())
            assert not {tokenizer.eos_id, *params.stop_token_ids} & {*rollout.tokens[:-1]}
            if rollout.finish == "length":
                assert len(rollout.tokens) == params.max_tokens
            ends = dict.fromkeys(params.stop_token_ids, "stop") | {tokenizer.eos_id: "end"}
            assert rollout.finish == ends.get(rollout.tokens[-1], "length")


def test_cut_distributions_are_whole(tokenizer: Tokenizer) -> None:
    """Over all the tokens that a cut keeps, what is told adds up to one."""
    model = made(tokenizer)
    engine = RolloutEngine(model, tokenizer, cache_bytes=CACHE)
    params = SamplingParams(max_tokens=1, temperature=0.9, top_k=3)
    [group] = engine.sample([[5, 6, 7]], 200, params, seed=1)
    told = {rollout.tokens[0]: rollout.drawn_logprobs[0] for rollout in group}
    assert len(told) == 3
    assert sum(torch.tensor(list(told.values())).exp()).item() == pytest.approx(1, abs=1e-5)  # type: ignore[union-attr]


def test_a_prompt_is_read_once_for_its_samples(tokenizer: Tokenizer) -> None:
    """Also of a prompt shorter than a block, whose samples all come in at once."""
    engine = RolloutEngine(made(tokenizer), tokenizer, cache_bytes=CACHE)
    prompts = [[7, 8, 9, 10, 11], list(range(40, 80))]
    params = SamplingParams(max_tokens=6)
    for prompt, group in zip(prompts, engine.sample(prompts, 8, params, seed=0), strict=True):
        assert [rollout.hit_tokens for rollout in group] == [0, *[len(prompt) - 1] * 7]


def test_places_and_seeds_decide_the_draws(tokenizer: Tokenizer) -> None:
    """A run that begins again in the middle goes on with the samples that it would have had."""
    model, params = made(tokenizer), SamplingParams(max_tokens=9, ignore_eos=True)
    draw = random.Random(3)
    prompts = [[draw.randrange(300) for _ in range(6)] for _ in range(6)]
    whole = RolloutEngine(model, tokenizer, deterministic=True, cache_bytes=CACHE).sample(prompts, 3, params, seed=5)
    engine = RolloutEngine(model, tokenizer, deterministic=True, together=2, cache_bytes=CACHE)
    again = engine.sample(prompts[4:], 3, params, seed=5, place=4)
    assert again == whole[4:]  # to the bit, in other company
    other = engine.sample(prompts[4:], 3, params, seed=6, place=4)
    assert [key(r) for g in other for r in g] != [key(r) for g in again for r in g]
    assert len({tuple(rollout.tokens) for rollout in whole[0]}) > 1


def test_refresh_forgets_what_old_weights_wrote(tokenizer: Tokenizer) -> None:
    model, params = made(tokenizer), SamplingParams(max_tokens=8, temperature=0.0, ignore_eos=True)
    engine = RolloutEngine(model, tokenizer, cache_bytes=CACHE)
    prompt = list(range(20, 60))
    before = engine.sample([prompt], 2, params, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(made(tokenizer, 1).get_parameter(_name(model, parameter)))
    stale = engine.sample([prompt], 1, params, seed=0)
    assert stale[0][0].hit_tokens > 0  # what refresh is for
    engine.refresh()
    [[fresh, second]] = engine.sample([prompt], 2, params, seed=0)
    assert fresh.hit_tokens == 0
    assert second.hit_tokens == len(prompt) - 1
    expected = RolloutEngine(made(tokenizer, 1), tokenizer, cache_bytes=CACHE).sample([prompt], 1, params, seed=0)
    assert fresh.tokens == expected[0][0].tokens != before[0][0].tokens


def _name(model: Transformer, parameter: torch.Tensor) -> str:
    return next(name for name, other in model.named_parameters() if other is parameter)


def test_weights_in_training_are_sampled_from_without_a_copy(tokenizer: Tokenizer) -> None:
    """The trainer's own tensors; deterministic sampling leaves the modules as training needs them."""
    from centime.recipe import Optimizer
    from centime.train.engine import SingleDevice, Trainer
    from centime.train.stages import Batch, StepSettings

    model = made(tokenizer)
    device = SingleDevice(model, Optimizer(), torch.float32)
    trainer, params = Trainer(device, micro_batch=4, clip=1.0), SamplingParams(max_tokens=5, ignore_eos=True)
    engine = RolloutEngine(model, tokenizer, deterministic=True, cache_bytes=CACHE)
    seen = []
    for step in range(3):
        [group] = engine.sample([[5, 6, 7, 8]], 4, params, seed=2, place=step)
        rows = torch.tensor([[5, 6, 7, 8, *rollout.tokens] for rollout in group])
        settings_ = StepSettings(lr=0.05, mtp_weight=0.0, bias_speed=0.0, balance_weight=0.0)
        trainer.step(Batch(rows, loss_tokens=32, sequences=4, tokens=32), settings_)
        engine.refresh()
        seen.append(group[0].logprobs)
    assert seen[0] != seen[1] != seen[2]


def test_routings_are_those_of_the_training_forward_pass(model: Transformer, tokenizer: Tokenizer) -> None:
    """Of the prompt too, which only one of the samples read, and through a prefix that an earlier answer left."""
    engine = RolloutEngine(model, tokenizer, routings=True, cache_bytes=CACHE)
    prompt = list(range(30, 65))
    params = SamplingParams(max_tokens=12, ignore_eos=True)
    for group in (engine.sample([prompt], 3, params, seed=1), engine.sample([prompt], 2, params, seed=2)):
        for rollout in group[0]:
            rows = torch.tensor([[*prompt, *rollout.tokens][:-1]])
            with torch.inference_mode():
                routings = model.features(rows).routings
            assert rollout.experts is not None
            assert rollout.experts.shape == (rows.shape[1], len(routings), model.config.num_experts_per_tok)
            for layer, routing in enumerate(routings):
                assert torch.equal(
                    rollout.experts[:, layer].long().sort(-1).values, routing.expert_ids[0].sort(-1).values
                )
    assert group[0][0].hit_tokens >= 32


def test_what_cannot_be_sampled_is_said_before_anything_is(tokenizer: Tokenizer) -> None:
    engine = RolloutEngine(made(tokenizer), tokenizer, cache_bytes=CACHE)
    params = SamplingParams(max_tokens=4)
    for prompts in ([[1, 2], []], [[1], [9999]], [[1] * 96]):
        with pytest.raises(UserError):
            engine.sample(prompts, 2, params, seed=0)
    with pytest.raises(UserError, match="at least 1"):
        engine.sample([[1]], 0, params, seed=0)
    with pytest.raises(UserError, match="stop_token_ids"):
        engine.sample([[1]], 1, SamplingParams(stop=("x",)), seed=0)
    assert engine.sample([], 3, params, seed=0) == []
    assert engine.engine.stats().steps == 0


def test_an_interrupted_sampling_leaves_an_engine_that_samples(tokenizer: Tokenizer) -> None:
    model, params = made(tokenizer), SamplingParams(max_tokens=6, ignore_eos=True)
    engine = RolloutEngine(model, tokenizer, cache_bytes=CACHE)
    expected = engine.sample([[4, 5]], 2, params, seed=0)
    step, steps = engine.engine.step, iter([False, False, True])

    def interrupted() -> bool:
        if next(steps):
            raise KeyboardInterrupt
        return step()

    engine.engine.step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        engine.sample([[4, 5]], 2, params, seed=0)
    again = engine.sample([[4, 5]], 2, params, seed=0)
    assert [r.tokens for r in again[0]] == [r.tokens for r in expected[0]]
