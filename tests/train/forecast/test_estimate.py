"""The intervals that a forecast is said with: wide enough for what varies, and for what no timed step has."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.train.forecast.estimate import UNTIMED_S, interval
from centime.train.forecast.timing import StepKind, cost_of, error_of_mean, trimmed_mean

STAGES = st.lists(st.tuples(st.floats(0.01, 1e5), st.floats(0, 0.5)), min_size=1, max_size=5)


@given(STAGES, st.floats(0.001, 0.5))
def test_it_holds_the_forecast_and_grows_with_what_is_not_known(stages: list[tuple[float, float]], more: float) -> None:
    seconds, errors = [s for s, _ in stages], [e for _, e in stages]
    low, high = interval(seconds, errors)
    assert 0 < low < sum(seconds) < high
    assert high - sum(seconds) > UNTIMED_S * len(stages)
    wider = interval(seconds, [error + more for error in errors])
    assert wider[0] < low
    assert wider[1] > high


def test_nothing_takes_no_time() -> None:
    assert interval([], []) == (0.0, 0.0)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.7])
def test_neighbours_that_are_alike_say_less(r: float) -> None:
    """Over 400 windows of steps whose noise has an autocorrelation r, the means are no further off than is said."""
    luck, n = random.Random(1), 60
    means, said = [], []
    for _ in range(400):
        noise, window = luck.gauss(0, 1), []
        for _ in range(n):
            noise = r * noise + (1 - r * r) ** 0.5 * luck.gauss(0, 1)
            window.append(1 + 0.1 * noise)
        means.append(statistics.fmean(window))
        said.append(error_of_mean(window))
    assert 0.85 * statistics.stdev(means) < statistics.fmean(said) < 2.5 * statistics.stdev(means)


def test_a_few_samples_are_not_believed() -> None:
    assert error_of_mean([1.0]) == error_of_mean([1.0, 1.0]) > 0.1


def test_extremes_are_left_out_of_a_mean() -> None:
    assert trimmed_mean([*[1.0] * 18, 50.0, 0.001]) == 1.0


@given(st.floats(0, 10), st.floats(0.01, 10))
def test_steps_of_one_and_of_two_micro_batches_tell_both_parts(overhead: float, each: float) -> None:
    one, two = overhead + each, overhead + 2 * each
    found = cost_of([StepKind(lambda _: None, 1, [one] * 5), StepKind(lambda _: None, 2, [two] * 5)])
    assert found.overhead + found.micro_batch == pytest.approx(one)
    if each >= 0.5 * one:  # else the difference is small beside what it is taken from, and is not believed
        assert found.micro_batch == pytest.approx(each)
