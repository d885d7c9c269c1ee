"""Shares of a difference add up to it, and do not depend on which side is called A."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.plan.diff.causes import MOST_EXACT, split

FACTORS = st.lists(st.floats(0.2, 5.0), min_size=1, max_size=MOST_EXACT + 2)


@settings(max_examples=30, deadline=None)
@given(factors=FACTORS, offset=st.floats(0.0, 3.0))
def test_shares_add_up_and_change_sign_with_the_sides(factors: list[float], offset: float) -> None:
    names = [f"cause {i}" for i in range(len(factors))]

    def cost(on: frozenset[str]) -> dict[str, float]:
        product = 1.0
        for name, factor in zip(names, factors, strict=True):
            product *= factor if name in on else 1.0
        return {"cost": offset + product, "delay": product - 3.0}  # the second may be below zero

    forward = split(names, cost)
    backward = split(names, lambda on: cost(frozenset(names) - on))
    whole = {key: cost(frozenset(names))[key] - cost(frozenset())[key] for key in ("cost", "delay")}
    for key, value in whole.items():
        assert sum(share[key] for share in forward.values()) == pytest.approx(value, abs=1e-6)
        for name in names:
            assert backward[name][key] == pytest.approx(-forward[name][key], abs=1e-6)


def test_a_cause_that_changes_nothing_gets_nothing() -> None:
    found = split(["price", "colour"], lambda on: {"cost": 2.0 if "price" in on else 1.0})
    assert found["colour"]["cost"] == pytest.approx(0)
    assert found["price"]["cost"] == pytest.approx(1)
