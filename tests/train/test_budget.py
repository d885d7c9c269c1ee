"""Budgets: how they are written, what they mean, and that stages are fitted under them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.train.budget import Budget, fit, parse_budget

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


@pytest.mark.parametrize("text", ["", "ten minutes", "5", "0s", "$0", "-3m", "tokens"])
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
    seconds=st.lists(st.floats(1, 1e5), min_size=1, max_size=4),
    allowed=st.floats(1, 1e6),
    tokens=st.one_of(st.just(INFINITE), st.floats(1, 1e9)),
    stretch=st.booleans(),
)
def test_fitted_stages_hold_the_budget(seconds: list[float], allowed: float, tokens: float, stretch: bool) -> None:
    counts = [round(s * 100) for s in seconds]
    factors = fit(seconds, counts, allowed, tokens, stretch)
    assert sum(f * s for f, s in zip(factors, seconds, strict=True)) <= allowed * (1 + 1e-9)
    assert sum(f * c for f, c in zip(factors, counts, strict=True)) <= tokens * (1 + 1e-9)
    assert min(factors) > 0
    if not stretch:
        assert max(factors) <= 1


def test_no_budget_changes_nothing_and_an_open_recipe_fills_one() -> None:
    assert fit([10, 20], [1, 2], INFINITE, INFINITE, True) == [1, 1]
    assert fit([10, 20], [1, 2], 100, INFINITE, False) == [1, 1]
    assert fit([10, 20], [1, 2], 100, INFINITE, True) == [8, 1]
    assert fit([10, 20], [1, 2], 15, INFINITE, True) == [0.5, 0.5]
