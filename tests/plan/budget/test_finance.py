"""Cash flows against hand calculations and identities."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.plan.budget.finance import (
    HOURS_PER_YEAR,
    Ownership,
    annuity,
    break_even_months,
    break_even_utilisation,
    economic_value,
    irr,
    npv,
    payback,
    straight_line,
    worth_at,
)

RATES = st.floats(-0.2, 0.6)
FLOWS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)
SPENT_THEN_EARNED = st.tuples(st.floats(1, 1e6), st.lists(st.floats(0, 1e6), min_size=1, max_size=10))


def test_npv_by_hand() -> None:
    # numpy-financial's documented example: npv(0.281, [-100, 39, 59, 55, 20]) = -0.00847...
    assert npv(0.281, [-100, 39, 59, 55, 20]) == pytest.approx(-0.0084785916384548798)
    assert npv(0.08, [-40_000, 5_000, 8_000, 12_000, 30_000]) == pytest.approx(3065.22267, abs=1e-4)


def test_irr_by_hand() -> None:
    # numpy-financial's documented examples
    assert irr([-100, 39, 59, 55, 20]) == pytest.approx(0.28095, abs=1e-5)
    assert irr([-100, 0, 0, 74]) == pytest.approx(-0.0955, abs=1e-4)
    assert irr([5, 10]) is None
    assert irr([-5, -10]) is None


def test_a_rate_that_is_not_the_only_one_is_none() -> None:
    assert irr([-100, 230, -132]) is None  # 10 % and 20 %
    assert irr([100, -230, 132]) is None
    assert irr([-100, 360, -431, 171.6]) is None  # 10, 20 and 30 %
    assert irr([-100, 80, -10, 80]) == pytest.approx(0.2398, abs=1e-4)  # several changes of sign, and one rate
    assert irr([-100, 230, -140]) is None  # none
    assert irr([100, -110]) == pytest.approx(0.10)  # borrowed
    assert irr([0, 0]) is None
    assert irr([]) is None


@given(st.lists(st.floats(-0.5, 4.0), min_size=1, max_size=4), st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1))
def test_the_rate_is_told_where_it_is_the_only_one(rates: list[float], scale: float) -> None:
    """Flows made from the rates that they shall have: the product of (v (1 + r) - 1), v = 1 / (1 + rate)."""
    flows = [scale]
    for rate in rates:
        flows = [(a * (1 + rate)) - b for a, b in zip([0.0, *flows], [*flows, 0.0], strict=True)]
    rates.sort()
    apart = all(b - a > 0.05 * (1 + a) for a, b in itertools.pairwise(rates))
    if len(rates) == 1:
        assert irr(flows) == pytest.approx(rates[0], abs=1e-9)
    elif apart:
        assert irr(flows) is None


@given(RATES, FLOWS, FLOWS, st.floats(-3, 3))
def test_npv_is_linear(rate: float, a: list[float], b: list[float], k: float) -> None:
    size = max(len(a), len(b))
    a, b = a + [0.0] * (size - len(a)), b + [0.0] * (size - len(b))
    mixed = npv(rate, [x + k * y for x, y in zip(a, b, strict=True)])
    assert mixed == pytest.approx(npv(rate, a) + k * npv(rate, b), rel=1e-9, abs=1e-3)
    assert npv(0.0, a) == pytest.approx(math.fsum(a), abs=1e-6)


@given(SPENT_THEN_EARNED)
def test_the_npv_is_zero_at_the_irr(flows: tuple[float, list[float]]) -> None:
    spent, earned = flows
    rate = irr([-spent, *earned])
    if rate is not None:
        scale = spent + math.fsum(x / (1 + rate) ** (i + 1) for i, x in enumerate(earned))
        assert abs(npv(rate, [-spent, *earned])) <= 1e-6 * scale


@given(st.floats(-0.1, 0.5), st.integers(1, 40))
def test_an_annuity_is_worth_what_it_pays_back(rate: float, years: int) -> None:
    assert npv(rate, [0.0, *[annuity(rate, years)] * years]) == pytest.approx(1.0)


def test_payback_is_linear_within_a_year() -> None:
    assert payback([-100, 50, 50]) == pytest.approx(2.0)
    assert payback([-100, 80, 80]) == pytest.approx(1.25)
    assert payback([-100, 10]) is None
    assert payback([0, 10]) == 0


def test_straight_line_falls_evenly_to_the_salvage() -> None:
    assert straight_line(100, 5, 5) == pytest.approx([100, 80, 60, 40, 20, 0])
    assert straight_line(100, 3, 5, salvage=10) == pytest.approx([100, 70, 40, 10, 10, 10])


@given(st.floats(0, 0.6), st.floats(0, 0.3), st.floats(1, 10))
def test_economic_value_starts_at_cost_falls_and_ends_at_nothing(falls: float, rate: float, life: float) -> None:
    values = economic_value(1000, falls, rate, life, 12)
    assert values[0] == pytest.approx(1000)
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values))
    assert values[-1] == pytest.approx(0.0, abs=1e-6)


def test_faster_falling_rents_leave_less_than_the_straight_line() -> None:
    steady, falling = economic_value(100, 0.0, 0.0, 5, 5), economic_value(100, 0.3, 0.0, 5, 5)
    assert steady == pytest.approx(straight_line(100, 5, 5))
    assert all(f < s for f, s in zip(falling[1:5], steady[1:5], strict=True))


def own(**changes: float) -> Ownership:
    values = {
        "capex_it": 40_000.0, "capex_building": 20_000.0, "life_it": 5.0, "life_building": 20.0, "kw": 2.0,
        "usd_per_kwh": 0.08, "upkeep": 0.03, "rate": 0.1,
    }  # fmt: skip
    return Ownership(**(values | changes))


def test_owning_by_hand() -> None:
    # 40,000 over 5 years at 10 %: 10,551.90; 20,000 over 20 years: 2,349.19; power 1,402.56; upkeep 1,800
    assert own().per_year == pytest.approx(10_551.90 + 2_349.19 + 1_402.56 + 1_800, abs=0.02)
    assert own().per_hour() == pytest.approx(own().per_year / HOURS_PER_YEAR)
    assert own().per_hour(0.5) == pytest.approx(2 * own().per_hour())


@given(st.floats(0.5, 20))
def test_at_the_break_even_use_rent_and_own_cost_the_same(rent: float) -> None:
    use = break_even_utilisation(own(), rent)
    assert use * rent * HOURS_PER_YEAR == pytest.approx(own().per_year)


@given(st.floats(1, 10), st.floats(0.1, 1.0), st.floats(0, 0.3))
def test_a_dearer_rent_breaks_even_sooner(rent: float, use: float, falls: float) -> None:
    cheap, dear = (break_even_months(own(), price, use, falls) for price in (rent, rent * 1.5))
    assert dear is not None or cheap is None
    if cheap is not None and dear is not None:
        assert dear <= cheap


def test_break_even_months_by_hand() -> None:
    flat = own(capex_it=9_000.0, capex_building=0.0, upkeep=0.0, kw=0.0)
    assert break_even_months(flat, 2.0, 1.0, 0.0) == pytest.approx(9_000 / (2 * HOURS_PER_YEAR / 12))


def test_rent_pays_to_the_last_of_ten_years_and_no_longer() -> None:
    """1,200 a year of rent; what costs 12,000 is paid back with the last month, a cent more never."""
    rent = 1200 / HOURS_PER_YEAR
    bare = {"capex_building": 0.0, "upkeep": 0.0, "kw": 0.0}
    assert break_even_months(own(capex_it=11_999.0, **bare), rent, 1.0, 0.0) == pytest.approx(119.99)
    assert break_even_months(own(capex_it=12_000.01, **bare), rent, 1.0, 0.0) is None
    assert break_even_months(own(capex_it=6_000.0, **bare), rent, 0.5, 0.0) == pytest.approx(120, abs=1e-6)
    assert break_even_months(own(capex_it=100.0, capex_building=0.0, upkeep=20.0, kw=0.0), rent, 1.0, 0.0) is None


@pytest.mark.parametrize(("falls", "rate"), [(0.0, 0.1), (0.3, 0.0), (0.3, 0.1), (0.1, 0.5), (0.0, 0.0)])
@pytest.mark.parametrize("age", [0.0, 1.5, 4.0])
def test_an_asset_is_worth_the_rents_it_still_earns_discounted(falls: float, rate: float, age: float) -> None:
    def rents(begins: float, steps: int = 4000) -> float:
        each = (5.0 - begins) / steps
        middles = (begins + (step + 0.5) * each for step in range(steps))
        return math.fsum((1 - falls) ** at / (1 + rate) ** (at - begins) * each for at in middles)

    assert worth_at(1000, falls, rate, 5.0, age) == pytest.approx(1000 * rents(age) / rents(0.0), rel=1e-6)
