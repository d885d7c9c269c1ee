"""How much wider than the errors seen an interval has to be where a family or a generation is new."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from centime.plan.step.intervals import Errors, spread

COVERED = 0.8


def widening(known: Errors, kind: str) -> float:
    """The factor on the quantiles of the others with which four of five runs of a family or generation are covered.

    Conformal prediction by groups: each group in turn plays the one that nobody has seen. At least 1; 1 where there is
    but one group.
    """
    needed = []
    for point, error, group in zip(known.points, known.errors[kind], known.groups[kind], strict=True):
        if len(set(known.groups[kind])) > 1:
            low, high = spread(point, known, kind, unlike=group)
            needed.append(-error / (low if error > 0 else high))
    needed.sort()
    return max(1.0, needed[math.ceil(COVERED * len(needed)) - 1]) if needed else 1.0


def coverage(known: Errors, kind: str, groups: Sequence[str]) -> tuple[float, float]:
    """The share of runs whose left-out error lies in the interval made of all other groups', and its median width to
    either side. groups: of each run."""
    others = replace(known, groups={**known.groups, kind: tuple(groups)})
    covered, widths = 0, []
    for point, error, group in zip(others.points, others.errors[kind], groups, strict=True):
        low, high = spread(point, others, kind, unlike=group)
        covered += low <= -error <= high
        widths.append((math.exp(high) - math.exp(low)) / 2)
    return covered / len(widths), median(widths)
