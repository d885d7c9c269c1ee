"""Intervals of predicted steps: wide enough for families and generations that the fit has not seen, no wider."""

from __future__ import annotations

import math
import re

import pytest
from scripts.widening import COVERED, widening

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.layouts.search import search
from centime.plan.step.cost import StepCost
from centime.plan.step.intervals import KINDS, LEAST, Errors, errors, features, nearest_measured, spread
from centime.plan.step.job import Job
from centime.plan.step.prediction import software_of


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


@pytest.mark.parametrize(
    ("model", "gpu", "says"),
    [
        ("deepseek-v3", "h800", "Nearest measured run: .* away .*; DeepSeek-V3 on H800 SXM 80GB is among the measured"),
        ("deepseek-v3", "b300", "; DeepSeek-V3 and B300 SXM 288GB were measured, but not together"),
        ("llama-3.1-8b", "mi300x", "; nothing on MI300X"),
        ("qwen3-8b", "h100", "; nothing of Qwen3-8B"),
        ("qwen3-8b", "l40s", "; nothing of Qwen3-8B, and nothing on L40S"),
    ],
)
def test_the_nearest_run_is_named_with_how_far_it_is(model: str, gpu: str, says: str) -> None:
    job = Job(architecture(model), chip(gpu), 4096, 256, "bf16", software_of("2026-01"))
    layout = search(job, 256, priced=0).best.layout
    times = StepCost(job).times(layout)
    said = nearest_measured(job, layout, times)
    assert re.search(says, said)
    known, point = errors(), features(job, layout, times)
    far = min(math.dist(point, other) for other in known.points)
    assert f", {far:.1f} away where 1 is a difference that matters" in said
    assert len(known.cells) == len(set(known.groups["cell"]))
