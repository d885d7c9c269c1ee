"""The load from which on whole units cost no more than an API, against a search of every load."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.plan.breakeven.crossing import break_even, first_paying

MOST = 2000.0


def fleet(unit: float, price: float, people: float):
    return lambda load: max(1, math.ceil(load / unit)) * price + people


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 30), st.integers(1, 20))
def test_from_there_on_the_fleet_pays_and_not_before(unit: int, price: int, people: int, api: int) -> None:
    cost = fleet(unit, price, people)
    found = break_even(cost, api, 1.0, MOST)
    pays = [cost(load) <= api * load for load in range(1, int(MOST) + 1)]
    first = first_paying(cost, api, 1.0, MOST)
    if first is None:
        assert not any(pays)
    else:
        assert cost(first) <= api * first * (1 + 1e-9)
        assert not any(paid for load, paid in enumerate(pays, 1) if load < first * (1 - 1e-9))
    if found is None:
        assert not pays[-1]
        return
    assert first is not None
    assert first <= found * (1 + 1e-9)
    assert all(paid for load, paid in enumerate(pays, 1) if load >= found)
    if found > 1:
        assert cost(found) == pytest.approx(api * found)
        assert cost(found * (1 - 1e-6)) > api * found * (1 - 1e-6) * (1 + 1e-9)


def test_always_and_never_are_answers() -> None:
    assert break_even(lambda load: 0.0, 1.0, 5.0, MOST) == 5.0  # a fleet that costs nothing
    assert break_even(fleet(10, 100, 0), 1.0, 5.0, MOST) is None  # ten a unit of load where the API asks one
    assert break_even(fleet(10, 100, 0), 0.0, 5.0, MOST) is None  # an API that is free


def test_a_load_that_pays_once_and_then_no_more_is_not_counted() -> None:
    cost = fleet(10, 10, 3)  # at 10 and 20 nearly even: pays only where units are full enough
    found = break_even(cost, 1.2, 1.0, MOST)
    assert found is not None
    assert cost(found - 0.5) > 1.2 * (found - 0.5)
    assert cost(20) <= 1.2 * 20  # there it would have paid
    assert found > 20
