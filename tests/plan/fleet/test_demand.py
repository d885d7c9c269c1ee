"""A day's shape, growth, the rebound, and numbers that nobody knows exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from centime.errors import UserError
from centime.plan.fleet.demand import FLAT, HOURS, DayShape, growth, interpolate, rebound
from centime.plan.fleet.scenario import FleetScenario
from centime.plan.fleet.uncertain import Z90, Uncertain

HOURLY = st.lists(st.floats(0.01, 100), min_size=HOURS, max_size=HOURS).map(tuple)
DAY6 = (
    21.8, 18.0, 13.2, 8.0, 6.4, 6.4, 8.0, 13.7, 23.2, 29.5, 30.5, 29.9,
    27.1, 28.6, 30.5, 31.0, 30.5, 27.9, 26.8, 29.6, 30.7, 30.9, 31.1, 29.8,
)  # fmt: skip


def test_the_published_day_gives_the_published_mean_over_peak() -> None:
    """Load from one chart of the day-6 page, nodes from the other: 226.75 of 278."""
    assert DayShape(DAY6, 0.2).occupancy == pytest.approx(226.75 / 278, rel=0.01)


@given(HOURLY, st.floats(0, 1))
def test_a_day_keeps_its_load_whatever_its_scale(hourly: tuple[float, ...], headroom: float) -> None:
    shape, larger = DayShape(hourly, headroom), DayShape(tuple(7 * x for x in hourly), headroom)
    assert sum(shape.factors) / HOURS == pytest.approx(1.0)
    assert shape.occupancy == pytest.approx(larger.occupancy)
    assert 1 / shape.peak <= shape.occupancy * (1 + 1e-9) <= 1 + 1e-9
    assert all(0 <= share <= 1 for share in shape.serving)


@given(HOURLY, st.floats(0, 1), st.floats(1, 1e6))
def test_a_fleet_of_the_peak_serves_everything_in_either_convention(
    hourly: tuple[float, ...], headroom: float, load: float
) -> None:
    shape = DayShape(hourly, headroom)
    limit = shape.peak_nodes(load, "peak")  # rates at a node's limit
    assert float(shape.unserved(limit / load)) == pytest.approx(0.0, abs=1e-9)
    mean_rate_load = load * shape.peak * shape.occupancy  # the same tokens, counted in nodes at their mean speed
    assert shape.peak_nodes(mean_rate_load, "mean") == pytest.approx(limit)


@given(HOURLY, st.floats(0.05, 2), st.floats(0.05, 2))
def test_more_capacity_never_serves_less(hourly: tuple[float, ...], a: float, b: float) -> None:
    shape = DayShape(hourly)
    less, more = sorted((a, b))
    assert float(shape.unserved(more)) <= float(shape.unserved(less)) + 1e-12


@pytest.mark.parametrize("hourly", [(1.0,) * 23, (0.0,) * 24, (-1.0, *(1.0,) * 23)])
def test_a_day_that_is_none_is_refused(hourly: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="24 factors"):
        DayShape(hourly)


def test_a_flat_day_needs_its_mean() -> None:
    assert DayShape(FLAT).peak == 1
    assert DayShape(FLAT).occupancy == 1


def test_growth_is_exponential_until_it_fades() -> None:
    assert growth(13, np.array([3.0]))[0, 12] == pytest.approx(3.0)
    assert growth(25, np.array([3.0]))[0, 24] == pytest.approx(9.0)
    fading = growth(25, np.array([3.0]), np.array([0.5]))[0]
    assert fading[12] < 3.0
    assert fading[24] < 9.0
    assert (np.diff(fading) > 0).all()
    steps = np.diff(np.log(fading))
    assert (np.diff(steps) < 0).all()


def test_a_path_goes_through_its_points() -> None:
    points = [(0.0, 1.0), (10.0, 100.0), (12.0, 50.0)]
    assert interpolate(points, (0, 10, 12, 40)) == pytest.approx([1, 100, 50, 50])
    assert interpolate(points, 5) == pytest.approx(10.0)


@given(st.floats(1.01, 100))
def test_without_elasticity_there_is_no_rebound(gain: float) -> None:
    ratio, eaten = rebound(gain, 0.0)
    assert float(ratio) == pytest.approx(1 / gain)
    assert float(eaten) == pytest.approx(0.0, abs=1e-9)


@given(st.floats(1.05, 100), st.floats(0, 3), st.floats(0.1, 1))
def test_cheaper_means_more_gpus_exactly_beyond_the_threshold(gain: float, elasticity: float, passed: float) -> None:
    ratio, eaten = rebound(gain, elasticity, passed)
    at_threshold, all_eaten = rebound(gain, 1 / passed, passed)
    assert float(at_threshold) == pytest.approx(1.0)
    assert float(all_eaten) == pytest.approx(1.0)
    if elasticity * passed > 1.001:
        assert ratio > 1
        assert eaten > 1
    if elasticity * passed < 0.999:
        assert ratio < 1
        assert eaten < 1


@given(st.floats(0.1, 10), st.floats(1, 10), st.floats(1, 10))
def test_an_uncertain_number_has_the_percentiles_it_states(low: float, to_mid: float, to_high: float) -> None:
    number = Uncertain(low=low, mid=low * to_mid, high=low * to_mid * to_high)
    assert [float(number.at(z)) for z in (-Z90, 0, Z90)] == pytest.approx(list(number.three))


def test_draws_are_seeded_by_name_and_stay_put() -> None:
    number = Uncertain(low=0.0, mid=1.0, high=3.0)
    first = number.draw(4000, 7, "growth")
    assert (first == number.draw(4000, 7, "growth")).all()
    assert (first != number.draw(4000, 7, "price")).any()
    assert (first >= 0).all()
    assert np.percentile(first, [10, 50, 90]) == pytest.approx([0, 1, 3], abs=0.15)


@pytest.mark.parametrize(
    "value", [{"mid": 1, "low": 2}, {"mid": -1}, {"mid": True}, {"mid": "ten apples"}, {"mid": 1, "hgih": 2}]
)
def test_numbers_that_are_none_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Uncertain.model_validate(value)


def test_quantities_are_written_as_people_write_them() -> None:
    assert Uncertain.model_validate("608B").mid == 608e9
    assert Uncertain.model_validate({"low": "1.5T", "mid": "2T", "high": 3e12}).three == (1.5e12, 2e12, 3e12)


@pytest.mark.parametrize(("start", "index", "month"), [("2026-01", 0, "2026-01"), ("2026-11", 2, "2027-01")])
def test_months_are_counted_over_the_years(start: str, index: int, month: str) -> None:
    scenario = FleetScenario.model_construct(start=start)
    assert scenario.month(index) == month
    assert scenario.index(month) == index
