"""Weights of kinds of work: found again from windows made with known ones, never below nought, assumed when few."""

from __future__ import annotations

import numpy as np
import pytest

from centime.ledger.engines.spans import EngineSpan, EngineWork
from centime.ledger.engines.split import apportioned
from centime.ledger.engines.weights import FEWEST, WINDOW_NS, WindowsSeen, least_squares

TRUE = (50e-6, 1e-6, 400e-6, 2e-9)


def windows(count: int, noise: float = 0.0, seed: int = 0) -> WindowsSeen:
    rng = np.random.default_rng(seed)
    seen = WindowsSeen()
    for n in range(count):
        amounts = [int(amount) for amount in rng.integers(1, (100_000, 50_000, 10_000, 10**9))]
        seconds = float(np.dot(TRUE, amounts)) * (1 + noise * rng.standard_normal())
        seen.add(EngineSpan(n * WINDOW_NS, (n + 1) * WINDOW_NS, int(seconds * 1e9), {"m": EngineWork(*amounts)}))
    return seen


def test_weights_are_found_again() -> None:
    weights = windows(60).weights()
    assert weights.seconds == pytest.approx(TRUE, rel=1e-4)
    assert weights.windows == 60
    assert weights.error is not None
    assert weights.error < 1e-6


def test_the_error_shown_is_the_noise_that_is_there() -> None:
    weights = windows(400, noise=0.1).weights()
    assert weights.error == pytest.approx(0.1, rel=0.35)
    assert weights.seconds[:1] == pytest.approx(TRUE[:1], rel=0.1)


def test_too_few_windows_are_assumed() -> None:
    assert windows(FEWEST - 1).weights().assumed
    assert not windows(FEWEST).weights().assumed


def test_a_kind_that_would_weigh_less_than_nothing_weighs_nothing() -> None:
    table = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [2.0, 1.0]])
    found = least_squares(table, table @ np.array([3.0, -0.5]))
    assert found[1] == 0
    assert found[0] > 0
    assert (least_squares(table, -np.ones(4)) == 0).all()


def test_what_was_not_seen_is_in_no_window() -> None:
    seen = windows(FEWEST - 1)
    seen.add(EngineSpan(0, 10 * WINDOW_NS, 0, {"m": EngineWork(5, 5, 5, 5)}, "silent"))
    assert seen.weights().assumed


def test_apportioned() -> None:
    assert apportioned(10, [1, 1, 1]) == [4, 3, 3]
    assert apportioned(1, [0, 5, 5]) == [0, 1, 0]
    assert sum(apportioned(10**19 + 7, [3, 10**18, 1])) == 10**19 + 7
