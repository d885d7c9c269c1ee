"""Draws follow the distribution that the parameters ask for; penalties, cuts, biases and masks do what they say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.errors import UserError
from centime.serve.engine.request import SamplingParams
from centime.serve.engine.sampler import Draw, logprobs, sample, uniform

V = 12
LOGITS = torch.linspace(-2, 2, V)


def draw(seed: int = 0, prompt: tuple[int, ...] = (), output: tuple[int, ...] = (), **params: object) -> Draw:
    return Draw(SamplingParams(**params), seed, prompt, output)  # type: ignore[arg-type]


def frequencies(times: int, **params: object) -> torch.Tensor:
    """How often each token comes up under as many seeds."""
    draws = [draw(seed, **params) for seed in range(times)]
    return torch.bincount(sample(LOGITS.expand(times, -1), draws), minlength=V) / times


def close(found: torch.Tensor, expected: torch.Tensor, times: int) -> bool:
    """Within five standard deviations of a binomial, for every token."""
    spread = (expected * (1 - expected) / times).sqrt()
    return bool(((found - expected).abs() <= 5 * spread + 1e-12).all())


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({}, range(V)),
        ({"top_k": 3}, range(9, V)),
        ({"top_p": 0.5}, [10, 11]),  # 0.31 and 0.21 reach a half together
        ({"min_p": 0.3}, range(8, V)),  # e^(-0.36 n) against 0.3
        ({"top_k": 5, "top_p": 0.6, "min_p": 0.6}, [10, 11]),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_cut_distribution(params: dict[str, float], kept: list[int], temperature: float) -> None:
    times = 4000
    exact = (LOGITS.double() / temperature).softmax(-1)
    if temperature == 1.0:
        cut = torch.zeros(V, dtype=torch.float64)
        cut[list(kept)] = exact[list(kept)]
    else:  # the cuts act on the sharpened distribution
        order = exact.sort(descending=True)
        keep = torch.ones(V, dtype=torch.bool)
        if "top_k" in params:
            keep &= torch.arange(V) < params["top_k"]
        if "top_p" in params:
            keep &= order.values.cumsum(0) - order.values < params["top_p"]
        if "min_p" in params:
            keep &= order.values >= params["min_p"] * order.values[0]
        cut = torch.zeros(V, dtype=torch.float64).scatter(0, order.indices[keep], order.values[keep])
    assert close(frequencies(times, temperature=temperature, **params).double(), cut / cut.sum(), times)


def test_greedy_takes_the_best_and_the_lowest_of_equals() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0]])
    assert sample(logits, [draw(temperature=0)]).tolist() == [1]


def test_penalties_are_those_of_the_papers() -> None:
    """frequency and presence count the answer, repetition the prompt too; greedy shows what is left on top."""
    logits = torch.tensor([[2.0, 1.9, 1.0, -1.0]])
    assert sample(logits, [draw(output=(0,), temperature=0, presence_penalty=0.2)]).tolist() == [1]
    assert sample(logits, [draw(output=(0, 0), temperature=0, frequency_penalty=0.04)]).tolist() == [0]
    assert sample(logits, [draw(output=(0, 0, 0), temperature=0, frequency_penalty=0.04)]).tolist() == [1]
    assert sample(logits, [draw(prompt=(0,), temperature=0, presence_penalty=2, frequency_penalty=2)]).tolist() == [0]
    assert sample(logits, [draw(prompt=(0,), output=(1,), temperature=0, repetition_penalty=2.0)]).tolist() == [0]
    assert sample(logits, [draw(prompt=(0, 1), temperature=0, repetition_penalty=2.1)]).tolist() == [2]
    low = torch.tensor([[-1.0, -1.1]])
    assert sample(low, [draw(prompt=(0,), temperature=0, repetition_penalty=1.2)]).tolist() == [1]


def test_a_bias_forces_and_a_mask_forbids() -> None:
    bias = draw(temperature=1.0, logit_bias={3: 100.0, 10**6: 1.0})
    assert sample(LOGITS[None], [bias]).tolist() == [3]
    allowed = torch.zeros(1, V, dtype=torch.bool)
    allowed[0, 5] = True
    assert sample(LOGITS[None], [draw(temperature=1.0)], allowed).tolist() == [5]


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**63), 2**64), st.integers(0, 10**6))
def test_a_draw_is_a_function_of_seed_and_place(seed: int, number: int) -> None:
    assert 0 <= uniform(seed, number) < 1
    assert uniform(seed, number) == uniform(seed, number) != uniform(seed, number + 1)


def test_a_rows_draw_does_not_depend_on_the_other_rows() -> None:
    rows = torch.randn(6, V)
    draws = [draw(n, temperature=0.3 * n, top_p=1 - 0.1 * n, output=(n,), presence_penalty=0.1 * n) for n in range(6)]
    together = sample(rows, draws).tolist()
    assert together == [int(sample(rows[n : n + 1], [draws[n]])) for n in range(6)]


def test_reported_logprobs_are_the_models_own() -> None:
    found = logprobs(LOGITS, 2, 3)
    exact = LOGITS.double().log_softmax(-1)
    assert math.isclose(found.logprob, float(exact[2]), rel_tol=1e-6)
    assert [token for token, _ in found.best] == [11, 10, 9]
    assert found.best[0][1] == pytest.approx(float(exact[11]))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_refused(broken: float) -> None:
    logits = LOGITS.clone()
    logits[4] = broken
    with pytest.raises(UserError, match="not finite"):
        sample(logits[None], [draw()])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("top_p", 0.0),
        ("min_p", 1.5),
        ("max_tokens", 0),
        ("logprobs", 21),
    ],
)
def test_parameters_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name):
        SamplingParams(**{name: value})  # type: ignore[arg-type]
