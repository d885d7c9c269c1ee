"""The intervals that a forecast is said with: wide enough for what varies, and for what no timed step has."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from centime import recipe as recipes
from centime.catalogue.prices import Price
from centime.train.engine import Trainer, new_engine
from centime.train.forecast.estimate import UNTIMED_S, Forecast, StageForecast, interval
from centime.train.forecast.timing import (
    SHARE,
    StepKind,
    StepSeconds,
    _enough,
    cost_of,
    error_of_mean,
    measure,
    trimmed_mean,
)
from centime.train.run.setup import Setup

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


def test_a_stage_is_timed_until_it_is_known_or_its_time_is_up() -> None:
    """For half of what it will take itself, for a second where its mean is known by then, for `most` at last."""

    def enough(seconds: list[float], steps: int, most: float = 3.0) -> bool:
        return _enough([StepKind(lambda _: None, 1, seconds)], SHARE * steps, most)

    assert [enough([0.125] * n, 10) for n in (4, 5)] == [False, True]
    assert [enough([0.125] * n, 10**6) for n in (7, 8)] == [False, True]
    noisy = [0.05, 0.2] * 12
    assert [enough(noisy[:n], 10**6) for n in (16, 22, 24)] == [False, False, True]
    assert [enough(noisy[:n], 10**6, most=1.0) for n in (7, 8)] == [False, True]


def set_up(small: Path, tmp_path: Path) -> Setup:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTIME_HOME", str(tmp_path))
        return Setup(recipes.read(small), tmp_path / "run", resume=False, budget=None, price="$1/h")


def test_a_run_of_next_to_no_steps_is_timed_for_next_to_none(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage once to warm up and once by the clock, where the whole recipe is timed for seconds."""
    setup, steps = set_up(small, tmp_path), [0]
    engine = new_engine(setup.stages[0].config, setup.recipe, setup.device, setup.dtype, setup.ranks)
    real = Trainer.step

    def counted(self: Trainer, *given: Any) -> Any:
        steps[0] += 1
        return real(self, *given)

    monkeypatch.setattr(Trainer, "step", counted)
    measure(engine, setup.stages, setup.micro_batches, 1.0, part=1e-6)
    assert steps[0] == 2 * len(setup.stages)  # whose steps are of one micro-batch each


def test_what_is_timed_lasts_no_longer_than_the_timing(small: Path, tmp_path: Path) -> None:
    """Each stage's steps by the run's own shapes; nothing of them stays."""
    setup = set_up(small, tmp_path)
    engine = new_engine(setup.stages[0].config, setup.recipe, setup.device, setup.dtype, setup.ranks)
    before = {name: tensor.clone() for name, tensor in engine.state().items()}
    began = time.perf_counter()
    costs = measure(engine, setup.stages, setup.micro_batches, 1.0, budget=0.1)
    took = time.perf_counter() - began
    assert len(costs) == 3
    for cost in costs:
        assert 0 <= cost.overhead < took
        assert 0 < cost.micro_batch < took
        assert cost.error > 0
    after = engine.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0.01, 100))
def test_a_pace_that_was_wrong_is_scaled_as_a_whole(overhead: float, each: float, factor: float) -> None:
    assert StepSeconds(overhead, each, 0.2).times(factor, 0.1) == StepSeconds(overhead * factor, each * factor, 0.1)


def test_a_forecast_is_the_sum_of_its_stages_and_of_what_is_spent() -> None:
    """By hand: 36 s and 3,564 s on four devices of $2 an hour, after a minute's start and 6 s of timing."""
    stages = [
        StageForecast("pretrain", 9, 90, 900.0, 36.0, 6.0, 0.1),
        StageForecast("sft", 1, 10, 50.0, 3564.0, 0.0, 0.2),
    ]
    made = Forecast(stages, 77, 4, Price(2.0, "USD", "2026-06", "test", "given"))
    assert made.seconds == 3600
    assert made.cost(1800) == 4.0
    plan = made.as_plan(startup_seconds=60.0, timing_seconds=6.0)
    assert (plan["tokens"], plan["flops"], plan["seconds"], plan["memory_bytes"]) == (100, 950.0, 3666.0, 77)
    assert plan["cost"] == pytest.approx(4 * 2 * 3666 / 3600)
    assert plan["device_hours"] == pytest.approx(4 * 3666 / 3600)
    low, high = made.between()
    assert (plan["seconds_low"], plan["seconds_high"]) == (66 + low, 66 + high)
    first, last = plan["stages"].values()
    assert list(plan["stages"]) == ["pretrain", "sft"]
    assert (first["seconds"], last["seconds"]) == (42.0, 3564.0), "the bill has the timed steps in the first stage"
    low, high = interval([36.0], [0.1])
    assert (first["seconds_low"], first["seconds_high"]) == (6 + low, 6 + high)
    assert (last["seconds_low"], last["seconds_high"]) == interval([3564.0], [0.2])
    assert Forecast(stages, 77, 4, None).as_plan()["cost"] is None
