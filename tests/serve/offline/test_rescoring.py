"""What deterministic roll-outs are told is what the gradients flow through, to the bit, however they were drawn."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.ops.linear_logprob import linear_logprob
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.rescoring import POSITIONS, Mismatch, padded_row
from centime.serve.offline.rollouts import Rollout, RolloutEngine


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=[0, 1], ids=["plain", "drafts"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    """With drafts it has rows that stand for no token, and that are likely."""
    config = small_config(tokenizer.vocab_size + 20 * request.param, positions=256)
    model = Transformer(config.model_copy(update={"num_nextn_predict_layers": request.param}))
    model.init_weights(0)
    return model


def trained(model: Transformer, prompt: list[int], rollout: Rollout, temperature: float) -> list[float]:
    """Log-probabilities as a trainer's step has them on its way to gradients, which reach the weights."""
    head = model.head_weight[:300]  # what stands for a token
    row, answer = padded_row([*prompt, *rollout.tokens]), len(rollout.tokens)
    mask = torch.zeros(row.shape[1] - 1, dtype=torch.bool)
    mask[len(prompt) - 1 : len(prompt) - 1 + answer] = True
    hidden = model.features(row[:, :-1]).hidden[0]
    found, _ = linear_logprob(hidden[mask], head, row[0, 1:][mask], temperature)
    found.sum().backward()
    assert model.embed.weight.grad is not None
    model.zero_grad()
    return found.tolist()


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_no_bit_lies_between_sampling_and_training(model: Transformer, tokenizer: Tokenizer, number: int) -> None:
    """Whatever ran beside them, was found in the cache or was guessed."""
    draw = random.Random(number)
    start = [draw.randrange(300) for _ in range(draw.randrange(1, 40))]
    prompts = [[*start[: draw.randrange(1, len(start) + 1)], *draw.sample(range(300), n)] for n in range(3)]
    params = SamplingParams(
        max_tokens=draw.choice([1, 5, 12]),
        temperature=draw.choice([1.0, 0.8, 0.0]),
        ignore_eos=draw.random() < 0.5,
        top_k=draw.choice([0, 0, 7]),
    )
    engine = RolloutEngine(
        model,
        tokenizer,
        deterministic=True,
        together=draw.choice([2, 64]),
        cache_bytes=draw.choice([1 << 16, 1 << 20]),
    )
    for seed in (number, number + 1):  # again, with all prompts in the cache
        for prompt, group in zip(prompts, engine.sample(prompts, 2, params, seed=seed), strict=True):
            for rollout in group:
                assert rollout.logprobs == trained(model, prompt, rollout, 1.0)
                if params.temperature and not params.cuts:
                    assert rollout.drawn_logprobs == trained(model, prompt, rollout, params.temperature)
        assert engine.mismatch is not None
        assert engine.mismatch.largest < 1e-4
        assert abs(engine.mismatch.kl) < 1e-5


def test_the_mismatch_is_told_where_there_is_one() -> None:
    assert Mismatch.of([-1.0, -2.0], [-1.0, -2.5]) == Mismatch(2, 0.5, 0.25)
    assert Mismatch.of([], []) == Mismatch(0, 0.0, 0.0)


@pytest.mark.parametrize(("tokens", "read"), [(2, 64), (65, 64), (66, 128), (129, 128)])
def test_rows_have_few_lengths(tokens: int, read: int) -> None:
    row = padded_row(list(range(1, tokens + 1)))
    assert row.shape == (1, read + 1)
    assert read % POSITIONS == 0
    assert row[0, :tokens].tolist() == list(range(1, tokens + 1))
    assert not row[0, tokens:].any()
