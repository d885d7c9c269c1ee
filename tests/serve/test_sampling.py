"""Sampling: greedy, temperature and nucleus do what their definitions say, and a seed means one answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from centime.errors import UserError
from centime.serve.sampling import Sampler, Sampling, nucleus_size

logit_lists = st.lists(st.floats(-30, 30, allow_nan=False), min_size=1, max_size=40)


def drawn(logits: list[float], sampling: Sampling, count: int = 1) -> list[int]:
    sampler = Sampler(sampling)
    return [sampler.draw(torch.tensor(logits)) for _ in range(count)]


@given(logit_lists)
def test_greedy_takes_the_first_of_the_largest(logits: list[float]) -> None:
    assert drawn(logits, Sampling(temperature=0)) == [int(torch.tensor(logits).argmax())]


@given(logit_lists, st.floats(0.05, 3), st.floats(0.01, 1), st.integers(0, 2**63 - 1))
def test_a_draw_is_in_the_nucleus_and_the_same_for_a_seed(
    logits: list[float], temperature: float, top_p: float, seed: int
) -> None:
    sampling = Sampling(temperature, top_p, seed)
    first = drawn(logits, sampling, 3)
    assert first == drawn(logits, sampling, 3)
    probabilities = torch.softmax(torch.tensor(logits).double() / temperature, -1)
    for token in first:
        likelier = float(probabilities[probabilities > probabilities[token]].sum())
        assert likelier < top_p + 1e-9  # the tokens before it had not reached top_p


def test_frequencies_follow_the_tempered_distribution() -> None:
    logits, temperature, count = [0.0, 1.0, 2.0, -1.0], 1.7, 20_000
    draws = torch.tensor(drawn(logits, Sampling(temperature, 1.0, seed=1), count))
    expected = torch.softmax(torch.tensor(logits) / temperature, -1)
    seen = torch.bincount(draws, minlength=4) / count
    assert float((seen - expected).abs().max()) < 0.015


def test_nucleus_counts() -> None:
    cumulative = torch.tensor([0.5, 0.8, 0.95, 1.0], dtype=torch.float64)
    assert [nucleus_size(cumulative, p) for p in (0.1, 0.5, 0.6, 0.9, 1.0)] == [1, 1, 2, 3, 4]


def test_a_sharp_distribution_survives_a_tiny_temperature() -> None:
    assert drawn([1e4, 0.0, -1e4], Sampling(1e-3, 1.0, seed=0), 5) == [0] * 5


@pytest.mark.parametrize(
    "bad", [{"temperature": -0.1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_p": 1.1}, {"seed": -1}]
)
def test_values_out_of_range_are_refused_in_a_sentence(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match="give"):
        Sampling(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_broken_logits_are_refused(broken: float) -> None:
    with pytest.raises(UserError, match="not finite"):
        drawn([0.0, broken], Sampling())
