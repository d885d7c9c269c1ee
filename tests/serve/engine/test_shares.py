"""Shares add up to the whole, are in proportion to within a unit, and treat equals alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.serve.engine.shares import split


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_parts_are_whole_and_in_proportion(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        if total:
            assert abs(part * total - amount * weight) < total
            assert part == 0 or weight > 0
        else:
            assert abs(part * len(weights) - amount) < len(weights)


def test_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody"):
        split(5, [])
