"""How far off a predicted step may be: 80 % intervals from errors on runs that were left out of the fit.

plan/constants.json keeps, for every run of the fit, where it lies (`features`) and by how much the constants of a fit
without its whole (model, chip) cell missed it. A prediction takes the 10 % and 90 % quantiles of these errors, nearer
runs counting more; far from all of them the interval widens with the distance.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.plan.efficiency import FILE, Software, family
from centime.plan.layout import Layout
from centime.plan.step import StepTimes

if TYPE_CHECKING:
    from centime.plan.published_run import Run

SHARES = (0.10, 0.90)
REACH = 0.5  # distance at which a run counts 1/e
FAR = 1.5  # widening per unit of distance beyond REACH to the nearest run
FAMILIES = ("ampere", "hopper", "blackwell")


@dataclass(frozen=True)
class Errors:
    """The runs of the fit: features, and natural logarithms of predicted over actual seconds."""

    points: tuple[tuple[float, ...], ...]
    errors: tuple[float, ...]


@lru_cache(maxsize=1)
def errors() -> Errors:
    """The left-out errors of plan/constants.json."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["left_out"]
    return Errors(tuple(tuple(row[:-1]) for row in rows), tuple(row[-1] for row in rows))


def features(
    arch: Architecture, chip: Chip, layout: Layout, seq: int, precision: str, software: Software, times: StepTimes
) -> tuple[float, ...]:
    """Where a run lies among others, each feature scaled so that 1 is a difference that matters."""
    kind = family(chip)
    total = times.total
    apart = sum(times.parts.get(name, 0.0) for name in ("tensor_parallel", "expert_parallel", "data_parallel"))
    mixers = any(type(block.mixer).__name__ == "StateSpace" for block in arch.blocks)
    return (
        1.0 * arch.is_mixture,
        0.7 * mixers,
        1.0 * (kind == "ampere") - 1.0 * (kind == "blackwell"),
        0.0 if kind in FAMILIES else 2.0,
        {"bf16": 0.0, "nvfp4": 1.0}.get(precision, 0.6),
        0.7 * software.tuned,
        0.25 * math.log2(max(1.0, layout.gpus / 8)),
        0.25 * math.log2(layout.micro_batch * seq / layout.cp / 4096),
        2.0 * times.parts.get("launch", 0.0) / total,
        2.0 * apart / total,
        0.25 * math.log2(arch.hidden / 4096),
    )


def spread(point: tuple[float, ...], known: Errors) -> tuple[float, float]:
    """The 10 % and 90 % quantiles of log(actual / predicted) seconds around a point."""
    distances = [math.dist(point, other) for other in known.points]
    weights = [math.exp(-distance / REACH) for distance in distances]
    weighted = sorted((-error, weight) for error, weight in zip(known.errors, weights, strict=True))
    total = sum(weights)
    wide = 1.0 + FAR * max(0.0, min(distances) - REACH)
    low, high = (_quantile(weighted, share * total) for share in SHARES)
    return min(-0.02, low) * wide, max(0.02, high) * wide


def _quantile(weighted: list[tuple[float, float]], mass: float) -> float:
    passed = 0.0
    for value, weight in weighted:
        passed += weight
        if passed >= mass:
            return value
    return weighted[-1][0]


def step_interval(
    arch: Architecture, chip: Chip, layout: Layout, seq: int, precision: str, software: Software, times: StepTimes
) -> tuple[float, float]:
    """Factors on the predicted seconds of a step between which the actual lies in four of five cases."""
    low, high = spread(features(arch, chip, layout, seq, precision, software, times), errors())
    return math.exp(low), math.exp(high)


def run_features(run: Run, times: StepTimes) -> tuple[float, ...]:
    """`features` of a published run."""
    return features(run.arch, run.chip, run.layout, run.seq, run.precision, run.software, times)


def interval(run: Run, times: StepTimes) -> tuple[float, float]:
    """`step_interval` of a published run; wider by half where its layout had to be assumed."""
    fast, slow = step_interval(run.arch, run.chip, run.layout, run.seq, run.precision, run.software, times)
    if not run.known_layout:
        return fast**1.5, slow**1.5
    return fast, slow
