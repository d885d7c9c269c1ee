"""Budgets: how they are written, what they mean, and that stages are fitted under them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.train.forecast.budget import Budget, parse_budget
from centime.train.forecast.fitting import StageAmounts, fit, least_factor

PRICE = Price(0.10, "USD", "2026-06", "test", "given")
INFINITE = float("inf")


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("10m", Budget("time", 600)),
        ("90s", Budget("time", 90)),
        ("1.5h", Budget("time", 5400)),
        ("$0.05", Budget("money", 0.05, "USD")),
        ("0.05 EUR", Budget("money", 0.05, "EUR")),
        ("2M-tokens", Budget("tokens", 2e6)),
        ("14.8T tokens", Budget("tokens", 14.8e12)),
    ],
)
def test_parsing(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ten minutes",
        "5",
        "0s",
        "$0",
        "-3m",
        "tokens",
        "nan",
        "inf",
        "-inf",
        "$nan",
        "$-1",
        "inf-tokens",
        "1e999-tokens",
        "1e30s",
        "9" * 400 + "s",
        "$" + "9" * 400,
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_budget(text)


def test_money_buys_seconds_on_all_devices() -> None:
    assert Budget("money", 0.05, "USD").seconds(PRICE, 1) == pytest.approx(1800)
    assert Budget("money", 0.05, "USD").seconds(PRICE, 4) == pytest.approx(450)
    with pytest.raises(UserError, match="needs a price"):
        Budget("money", 0.05, "USD").seconds(None, 1)
    with pytest.raises(UserError, match="in EUR and the price in USD"):
        Budget("money", 0.05, "EUR").seconds(PRICE, 1)


@given(
    stages=st.lists(
        st.builds(StageAmounts, st.integers(1, 10**6), st.integers(1, 10**12), st.floats(1e-3, 1e6), st.floats(0, 1e3)),
        min_size=1,
        max_size=4,
    ),
    allowed=st.one_of(st.just(INFINITE), st.floats(-1e9, 1e9)),
    tokens=st.one_of(st.just(INFINITE), st.floats(1, 1e13)),
    stretch=st.booleans(),
)
def test_fitted_stages_hold_the_budget(
    stages: list[StageAmounts], allowed: float, tokens: float, stretch: bool
) -> None:
    """Whatever is left of it, less than nothing included: no factor is negative, and no ceiling is passed."""
    factors = fit(stages, allowed, tokens, stretch)
    left = max(0.0, allowed - sum(stage.fixed_seconds for stage in stages))
    assert sum(f * s.seconds for f, s in zip(factors, stages, strict=True)) <= left * (1 + 1e-6)
    assert sum(f * s.tokens for f, s in zip(factors, stages, strict=True)) <= tokens * (1 + 1e-6)
    assert all(math.isfinite(factor) and factor >= 0 for factor in factors)
    if not stretch:
        assert max(factors) <= 1
    assert 0 < least_factor(stages) <= 1


def test_no_budget_changes_nothing_and_an_open_recipe_fills_one() -> None:
    stages = [StageAmounts(100, 1, 10.0), StageAmounts(100, 2, 20.0)]
    assert fit(stages, INFINITE, INFINITE, True) == [1, 1]
    assert fit(stages, 100, INFINITE, False) == [1, 1]
    assert fit(stages, 100, INFINITE, True) == [8, 1]
    assert fit(stages, 15, INFINITE, True) == [0.5, 0.5]
    assert fit([StageAmounts(100, 1, 10.0, fixed_seconds=5.0)], 10, INFINITE, True) == [0.5]
