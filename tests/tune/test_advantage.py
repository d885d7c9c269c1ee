"""Advantages and weights: what is silent stays silent, and the mean that a setting names is the mean that is taken."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from centime.recipe.policy import PolicyLoss
from centime.tune.advantage import advantages, interval, pass_at, silent, token_weights

groups = st.lists(st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4), min_size=1, max_size=5)


@given(groups, st.sampled_from(["std", "mean"]))
def test_a_groups_advantages_add_up_to_nothing_and_keep_its_order(rewards: list[list[float]], kind: str) -> None:
    given_, found = torch.tensor(rewards), advantages(torch.tensor(rewards), kind)
    assert float(found.sum(-1).abs().max()) < 1e-3
    for before, after in zip(given_, found, strict=True):
        for i, j in itertools.permutations(range(4), 2):
            assert not (before[i] > before[j] and after[i] < after[j])


@given(st.floats(-10, 10, width=32), st.integers(1, 7), st.sampled_from(["std", "mean"]))
def test_equal_rewards_are_worth_exactly_nothing(reward: float, samples: int, kind: str) -> None:
    """A mean of equal numbers is rounded: 0.1 of seven would leave 1e-9, and over a deviation of 1e-9 that is one."""
    rewards = torch.full((1, samples), reward)
    assert silent(rewards).all()
    assert advantages(rewards, kind).abs().max() == 0


@pytest.mark.parametrize("samples", [1, 2, 3, 8])
def test_an_advantage_is_in_deviations_of_its_group_however_few_are_in_it(samples: int) -> None:
    rewards = torch.rand(4, samples, generator=torch.Generator().manual_seed(samples))
    centred = rewards - rewards.mean(-1, keepdim=True)
    torch.testing.assert_close(advantages(rewards, "mean"), centred)
    if samples > 1:
        torch.testing.assert_close(advantages(rewards, "std"), centred / (rewards.std(-1, keepdim=True) + 1e-4))


def test_the_three_means() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    loss = torch.tensor([[1.0, 2.0, 3.0, 9.0], [4.0, 9.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0]])
    for name, expected in (("token", 10 / 4), ("sequence", (2 + 4 + 0) / 3), ("length", 10 / (3 * 8))):
        weights, divisor = token_weights(mask, PolicyLoss(normalise=name), longest=8)  # type: ignore[arg-type]
        assert float((loss * weights).sum()) / divisor == pytest.approx(expected)


def test_pass_at_k_is_the_share_of_draws_without_putting_back() -> None:
    right = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    for k in range(1, 6):
        draws = [any(row[i] for i in some) for row in right.tolist() for some in itertools.combinations(range(5), k)]
        assert pass_at(right, k) == pytest.approx(sum(draws) / len(draws))


def test_the_interval_is_of_groups_and_not_of_samples() -> None:
    rewards = torch.tensor([[1.0] * 8, [0.0] * 8, [1.0] * 8, [0.0] * 8])
    assert interval(rewards) == pytest.approx(1.96 * (1 / 3) ** 0.5 / 2)
    assert interval(rewards[:1]) != interval(rewards[:1])
