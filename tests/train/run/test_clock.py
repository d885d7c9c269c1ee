"""The time that a run has left."""

from __future__ import annotations

import pytest

from centime.train.run.clock import RunClock


def test_the_clock_weighs_what_is_left() -> None:
    clock = RunClock([10.0, 20.0])
    clock.enter(0, steps=100, done=0)
    assert clock.seconds_left(0) == pytest.approx(30, rel=0.01)
    clock.began -= 20.0  # half the steps took twice as long as planned for all: that is this stage's pace alone
    assert clock.seconds_left(50) == pytest.approx(20 + 20, rel=0.01)
