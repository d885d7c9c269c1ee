"""Axes: ticks are round, rise and lie inside; values keep their order; what an axis has no place for is refused."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from centime.charts.scale import Scale, linear_ticks, log_ticks, scale_of, tick_labels

anything = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@given(
    st.lists(anything, max_size=12),
    st.sampled_from([False, True, None]),
    st.sampled_from([False, True, None]),
    st.sampled_from([0.0, 0.04]),
)
@example([0.0], False, None, 0.04)
@example([3.0], False, False, 0.0)
@example([1.0, 1.0 + sys.float_info.epsilon], False, False, 0.0)
@example([-sys.float_info.max, sys.float_info.max], False, False, 0.04)
@example([5e-324], True, False, 0.04)
@example([5e-324, sys.float_info.max], True, False, 0.04)
@example([0.0, 5e-324], False, False, 0.0)
@example([1e308, 1.7e308], True, None, 0.0)
def test_an_axis_shows_every_value_that_it_can_hold(
    values: list[float], log: bool | None, from_zero: bool | None, margin: float
) -> None:
    axis = scale_of(values, log=log, from_zero=from_zero, margin=margin)
    if axis is None:
        assert not any(math.isfinite(v) and (v > 0 or not log) for v in values)
        return
    held = sorted(v for v in values if axis.holds(v))
    assert held
    assert axis.low <= held[0] <= held[-1] <= axis.high
    assert axis.log or log is not True
    shares = [axis.share(v) for v in held]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 25
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert all(0 <= axis.share(tick) <= 1 for tick in ticks)


@given(finite, finite)
def test_linear_ticks_are_one_step_apart(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    assume(high / 2 - low / 2 > 1e-9 * max(-low, high) and high - low > 1e-290)
    ticks = linear_ticks(low, high)
    assert 2 <= len(ticks) <= 11
    step = ticks[1] / 2 - ticks[0] / 2
    assert [y / 2 - x / 2 for x, y in itertools.pairwise(ticks)] == pytest.approx([step] * (len(ticks) - 1), rel=1e-3)


@given(st.floats(-300, 300), st.floats(0.01, 600))
def test_a_logarithmic_axis_has_ticks_however_long_it_is(power: float, decades: float) -> None:
    low, high = 10.0**power, 10.0 ** min(308.0, power + decades)
    assume(low * 1.01 < high)
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 25
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


@given(positive, positive)
def test_shares_of_a_logarithmic_axis_are_those_of_the_logarithms(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    assume(low >= sys.float_info.min)  # below it the middle has no digits of its own
    assume(math.log(high) - math.log(low) > 1e-6)
    axis = Scale(low, high, log=True)
    assert axis.share(low) == 0
    assert axis.share(high) == 1
    assert axis.share(math.exp((math.log(low) + math.log(high)) / 2)) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_a_logarithmic_axis_has_no_place_for_is_refused(value: float) -> None:
    axis = Scale(1.0, 10.0, log=True)
    assert not axis.holds(value)
    with pytest.raises(ValueError, match="no place for"):
        axis.share(value)
    assert scale_of([value], log=True) is None


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1, 1, False), (2, 1, False), (0, 1, True), (-1, 1, True), (0, math.inf, False)]
)
def test_an_axis_without_a_length_is_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(ValueError, match="axis"):
        Scale(low, high, log)


def test_an_axis_is_logarithmic_where_values_lie_far_apart_and_above_zero() -> None:
    assert scale_of([1e-3, 1.0], log=None) == Scale(1e-3, 1.0, log=True)
    assert scale_of([0.5, 1.0], log=None) == Scale(0.5, 1.0)
    assert scale_of([0.0, 1e-3, 1.0], log=None) == Scale(0.0, 1.0)
    assert scale_of([1e-3, 1.0], log=None, from_zero=True) == Scale(0.0, 1.0)


def test_an_axis_begins_at_zero_where_its_values_reach_down_towards_it() -> None:
    assert scale_of([1.0, 10.0], from_zero=None) == Scale(0.0, 10.0)
    assert scale_of([9.0, 10.0], from_zero=None) == Scale(9.0, 10.0)


def test_ticks_are_written_without_zeros_that_carry_nothing() -> None:
    assert tick_labels([1e6, 2e6], lambda v: f"{v / 1e6:.2f} M") == ["1 M", "2 M"]
    assert tick_labels([0.004, 0.0041], lambda v: f"${v:.5f}") == ["$0.004", "$0.0041"]
    assert tick_labels([1000, 10000], lambda v: f"{v:,.0f}") == ["1,000", "10,000"]
    assert tick_labels([1, 1.5], lambda v: f"{v:.2f} Md".replace(".", ",")) == ["1 Md", "1,5 Md"]
