"""Points that somebody measured, from a file in the columns of serving runs that `plan check` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.chips import Chip
from centime.plan.check.benchmark_point import BenchmarkPoint, benchmark_point
from centime.plan.check.file import SERVING, Row, read_file
from centime.plan.serving.choice import Lengths

NEAR = 1.25  # times longer or shorter prompts and answers: still the same load


@dataclass(frozen=True)
class Measured:
    """The rows that are points of the chart, and how many were left out by reason."""

    points: tuple[BenchmarkPoint, ...]
    left_out: dict[str, int]


def measured(path: Path, model: str, chips: tuple[Chip, ...], lengths: Lengths) -> Measured:
    """The points of a file that are of the model, one of the chips and about the lengths.

    Raises UserError on a file that is none of serving runs.
    """
    file = read_file(path, SERVING.kind)
    found: list[BenchmarkPoint] = []
    reasons: dict[str, int] = {}
    for row, fault in zip(file.rows, file.faults, strict=True):
        point = "a cell that cannot be read" if fault else _point(row, model, chips, lengths)
        if isinstance(point, BenchmarkPoint):
            found.append(point)
        else:
            reasons[point] = reasons.get(point, 0) + 1
    return Measured(tuple(found), reasons)


def _point(row: Row, model: str, chips: tuple[Chip, ...], lengths: Lengths) -> BenchmarkPoint | str:
    """The row as a point, or why it is none."""
    point = benchmark_point(row)
    if not isinstance(point, BenchmarkPoint):
        return point
    if point.case.arch_name != model:
        return "another model"
    if point.chip not in {kind.name for kind in chips}:
        return "another chip"
    near = (
        1 / NEAR <= own / wanted <= NEAR for own, wanted in zip(point.lengths, (lengths.isl, lengths.osl), strict=True)
    )
    return point if all(near) else "other lengths"
