"""Intervals of predicted steps: wide enough for families and generations that the fit has not seen, no wider."""

from __future__ import annotations

import math

import pytest
from scripts.widening import COVERED, widening

from centime.plan.step.intervals import KINDS, LEAST, Errors, errors, spread


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_family_or_generation_left_out_is_covered(kind: str) -> None:
    """Its runs play no part in the fit nor in the quantiles; four of five lie within, 75 to 88 %."""
    known = errors()
    inside = 0
    for point, error, group in zip(known.points, known.errors[kind], known.groups[kind], strict=True):
        low, high = spread(point, known, kind, unlike=group)
        inside += low <= -error <= high
    assert 0.75 <= inside / len(known.points) <= 0.88


@pytest.mark.parametrize("kind", ["family", "generation"])
def test_factors_are_those_that_the_runs_ask_for(kind: str) -> None:
    known = errors()
    bare = Errors(known.points, known.errors, known.groups, {})
    assert known.wider[kind] == pytest.approx(widening(bare, kind), rel=0.01)
    assert known.wider[kind] >= 1


def test_widening_by_hand() -> None:
    """Ten runs of each of two families at one point, the second twice as far off as the first."""
    narrow = [0.01 * n for n in (-10, -8, -6, -4, -2, 2, 4, 6, 8, 10)]
    runs = tuple(narrow + [2 * error for error in narrow])
    known = Errors(((0.0,),) * 20, {"family": runs}, {"family": ("a",) * 10 + ("b",) * 10}, {})
    low, high = spread((0.0,), known, "family", unlike="b")
    assert (low, high) == pytest.approx((-0.08, 0.08))  # outer quantiles of a alone
    factor = widening(known, "family")
    needed = sorted(abs(e) / 0.16 for e in narrow) + sorted(abs(2 * e) / 0.08 for e in narrow)
    assert sum(n <= factor for n in needed) / 20 >= COVERED
    assert sum(n < factor * (1 - 1e-9) for n in needed) / 20 < COVERED


def test_one_group_says_nothing_of_the_next() -> None:
    known = Errors(((0.0,),) * 3, {"family": (0.1, 0.2, -0.3)}, {"family": ("a",) * 3}, {})
    assert widening(known, "family") == 1.0


def test_the_unknown_is_less_sure_and_nothing_is_certain() -> None:
    known = errors()
    same = Errors(known.points, {kind: (0.0,) * len(known.points) for kind in KINDS}, known.groups, {})
    assert spread(known.points[0], same) == (-LEAST, LEAST)
    widths = []
    for kind in KINDS:
        pairs = [spread(point, known, kind) for point in known.points[::10]]
        widths.append(sorted(math.exp(high) - math.exp(low) for low, high in pairs)[len(pairs) // 2])
    assert widths == sorted(widths)
