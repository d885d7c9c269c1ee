"""Permutations and mixtures as pure functions of their keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.data.order import MIXTURE_BLOCK, Mixture, mix, shuffled


def test_the_hash_is_splitmix64() -> None:
    """The first outputs of the published generator from state 1234567 (Vigna's splitmix64.c)."""
    from centime.data.order import hashes

    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert hashes(1234567, 5).tolist() == known


@given(count=st.integers(0, 500), key=st.lists(st.integers(0, 2**70), min_size=1, max_size=3))
def test_shuffled_is_a_permutation_of_its_key(count: int, key: list[int]) -> None:
    order = shuffled(count, *key)
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(order, shuffled(count, *key))


def test_keys_are_told_apart() -> None:
    assert len({mix(0, 1), mix(1, 0), mix(0), mix(1), mix(0, 0), mix()}) == 6


def test_shuffles_are_fair() -> None:
    """Each of 6 items comes to each of 6 places equally often: chi-square of 25 degrees stays below its 0.1 % point."""
    seen = np.zeros((6, 6))
    for epoch in range(6000):
        seen[np.arange(6), shuffled(6, 42, epoch)] += 1
    assert ((seen - 1000) ** 2 / 1000).sum() < 52.6


@settings(deadline=None, max_examples=50)
@given(
    weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6),
    first=st.integers(0, 3 * MIXTURE_BLOCK),
    count=st.integers(0, 200),
)
def test_before_counts_what_sources_deals(weights: list[float], first: int, count: int) -> None:
    mixture = Mixture(weights, seed=1)
    assert mixture.quota.sum() == MIXTURE_BLOCK
    assert mixture.quota.min() >= 1
    dealt = np.bincount(mixture.sources(first, count), minlength=len(weights))
    np.testing.assert_array_equal(mixture.before(first + count) - mixture.before(first), dealt)


@settings(deadline=None, max_examples=50)
@given(weights=st.lists(st.floats(0.01, 100), min_size=2, max_size=6))
def test_a_source_has_the_rows_that_its_weight_asks_for(weights: list[float]) -> None:
    """To within a row of a block, whichever of the sources comes first; one that asks for less than a row has one."""
    quota = Mixture(weights, seed=0).quota
    asked = np.array(weights) / sum(weights) * MIXTURE_BLOCK
    assert (np.abs(quota - asked)[asked >= 1] <= 1 + (asked < 1).sum()).all()
    tiny = Mixture([1e-9, *weights, 1e-9], seed=0).quota
    assert (tiny[0], tiny[-1], tiny.sum()) == (1, 1, MIXTURE_BLOCK)


@pytest.mark.parametrize("row", [0, 1, MIXTURE_BLOCK, 2 * MIXTURE_BLOCK, 2 * MIXTURE_BLOCK + 7])
def test_before_counts_from_the_first_row(row: int) -> None:
    mixture = Mixture([3, 1, 2], seed=5)
    before = mixture.before(row)
    np.testing.assert_array_equal(before, np.bincount(mixture.sources(0, row), minlength=3))
    assert before.dtype == np.int64
