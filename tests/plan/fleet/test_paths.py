"""A fleet's paths beside the same said month by month, draw by draw, in plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.plan.fleet.paths import Hardware, hour_prices, speed_paths, token_cost_index

MONTHS = 30
RATES = st.floats(0.2, 5.0)


@st.composite
def fleets(draw: st.DrawFn) -> list[dict[str, float]]:
    """Generations: the first is there from the start."""
    found = [{"first": draw(st.integers(-20, 40)), "speed": draw(RATES), "hour": draw(RATES)} for _ in range(3)]
    return [found[0] | {"first": draw(st.integers(-20, 0))}, *found[1:]]


def hardware(one: dict[str, float]) -> Hardware:
    first, draws = int(one["first"]), np.ones(2)
    return Hardware("h100", first, ((first, 99),), one["speed"] * draws, one["hour"] * draws, draws, draws, 80.0)


@settings(max_examples=25, deadline=None)
@given(fleets(), st.floats(-0.5, 0.9), st.floats(0.5, 3.0))
def test_an_hour_falls_from_its_arrival_on_and_a_token_costs_the_cheapest_so_far(
    fleet: list[dict[str, float]], falls: float, gain: float
) -> None:
    given_: dict[str, Any] = {"efficiency.software_per_year": gain, "money.price_falls_per_year": falls}
    software, fallen = speed_paths(lambda path: np.full(2, given_[path]), MONTHS)
    prices = hour_prices([hardware(one) for one in fleet], fallen)
    index = token_cost_index([hardware(one) for one in fleet], prices, software)
    cheapest, first_cost = float("inf"), None
    for month in range(MONTHS):
        for number, one in enumerate(fleet):
            since = max(0, month - max(0, one["first"]))
            hour = one["hour"] * (1 - falls) ** (since / 12)
            assert prices[number, :, month] == pytest.approx([hour, hour])
            if month >= one["first"]:
                cheapest = min(cheapest, hour / one["speed"])
        cost = cheapest / gain ** (month / 12)
        first_cost = first_cost or cost
        assert index[:, month] == pytest.approx([cost / first_cost] * 2)
