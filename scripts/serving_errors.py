"""How far the serving planner is off on what it was fitted to and what was left out, and the intervals that follow."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from operator_samples import OperatorSample
from serving_samples import LEVELS, ServingSample

from centime.plan.serving.interval import interval_kind, usual

FAR = {"seen": "fitted", "apart": "cell", "new model": "model", "new chip": "chip"}  # distance: the level left out


def sums(errors: np.ndarray) -> str:
    """Median, 90th percentile and bias of predicted / actual - 1, from its logarithm."""
    off = np.exp(errors) - 1
    size = np.abs(off)
    return f"{np.median(size):6.1%} {np.quantile(size, 0.9):7.1%} {np.median(off):+7.1%}"


def report(samples: list[ServingSample | OperatorSample], errors: dict[str, np.ndarray], by: str = "table") -> None:
    """A line for every file and kind of figure; a column for the fit and for each level that is left out."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, one in enumerate(samples):
        rows[one.table if by == "table" else one.group(by)].append(i)
    print(f"{'median, 90 % within, bias':44}    n  " + "  ".join(f"{name:>22}" for name in errors))
    for name, own in sorted(rows.items()):
        print(f"{name:44} {len(own):4}  " + "  ".join(sums(found[own]) for found in errors.values()))


def intervals(samples: list[ServingSample], errors: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Logarithms of actual over predicted throughput that hold the middle 80 % of what was left out, by distance.

    Where neither model nor chip was measured, what the farther of the two adds to a cell left out is added again.
    """
    signs = np.array([1.0 if one.target.endswith("_ms") else -1.0 for one in samples])
    found: dict[str, list[float]] = {}
    kinds = {"": lambda one: usual(one.case.chips[0][0]), ", thin": lambda one: not usual(one.case.chips[0][0])}
    for suffix, belongs in (kinds | {", first token": None}).items():
        first = belongs is None
        own = [i for i, one in enumerate(samples) if (one.target == "ttft_ms") == first and (first or belongs(one))]
        for far, level in FAR.items():
            found[far + suffix] = [float(q) for q in np.quantile((signs * errors[level])[own], [0.1, 0.9])]
        for i in (0, 1):
            near, far = (
                abs(found["apart" + suffix][i]),
                max(abs(found[f"new {what}{suffix}"][i]) for what in LEVELS[1:]),
            )
            found.setdefault("neither" + suffix, [0.0, 0.0])[i] = (2 * i - 1) * (far + max(0.0, far - near))
    return {name: [round(q, 4) for q in ends] for name, ends in found.items()}


def coverage(samples: list[ServingSample], errors: dict[str, np.ndarray], ranges: dict[str, list[float]]) -> None:
    """The share of 80 % intervals that hold the actual figure, for each set that was left out."""
    for far, level in FAR.items():
        held: dict[str, list[bool]] = defaultdict(list)
        for one, error in zip(samples, errors[level], strict=True):
            low, high = ranges[interval_kind(far, one.case.chips[0][0], one.target)]
            covered = low <= (error if one.target.endswith("_ms") else -error) <= high
            held[one.table].append(covered)
            held["all but first tokens" if one.target != "ttft_ms" else "first tokens"].append(covered)
        print(f"{level}: " + ", ".join(f"{name} {np.mean(found):.1%}" for name, found in sorted(held.items())))
