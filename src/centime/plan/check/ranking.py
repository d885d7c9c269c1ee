"""Does the planner rank chips as measurements do? The best tokens/s a chip at a speed for users, planned and measured.

The measured points of a (model, prompt, answer) give every chip's best at a speed: the most output tokens a second and
chip where users get at least so many tokens a second, between two points of one layout by a power law. The planner
answers with its own best layout of as many chips as were measured, in the precision and the software of the measured
best. Points where users wait longer than TTFT_S are left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, pairwise
from statistics import median
from typing import Any

from centime.errors import UserError
from centime.plan.check.benchmark_point import BenchmarkPoint, benchmark_point
from centime.plan.check.file import Row
from centime.plan.check.phases import engine_of
from centime.plan.check.serving_rows import number
from centime.plan.serving.choice import Choice, Lengths, Mixed, choices
from centime.plan.serving.interval import spread
from centime.plan.serving.units import Unit

USER_SPEEDS = (20.0, 40.0, 60.0, 100.0)  # tokens/s that a user gets
DIFFERENT = 1.3  # times by which two chips' measured bests differ where there is an order to get right
TTFT_S = 10.0  # limit of the time to first token, of measured points and planned ones


@dataclass(frozen=True)
class RankedChip:
    """A chip at one load: the best that was measured (of the row `id`), and the planner's, None where it has none."""

    chip: str
    id: str
    measured: float
    planned: float | None
    low: float | None
    high: float | None
    layout: str


@dataclass(frozen=True)
class RankedLoad:
    """The chips that were measured at one load; rates in output tokens/s and chip."""

    model: str
    isl: float
    osl: float
    user_speed: float
    chips: tuple[RankedChip, ...]

    def pairs(self) -> Iterator[tuple[RankedChip, RankedChip, bool]]:
        """Pairs that differ, the better first, and whether the planner puts it first too."""
        for one, other in combinations(sorted(self.chips, key=lambda chip: -chip.measured), 2):
            if one.measured > DIFFERENT * other.measured:
                yield one, other, (one.planned or 0.0) > (other.planned or 0.0)


@dataclass(frozen=True)
class Ranking:
    """All loads at which two chips or more were measured."""

    loads: tuple[RankedLoad, ...]

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan.md#check."""
        pairs = [right for load in self.loads for *_, right in load.pairs()]
        errors = self.errors()
        return {
            "pairs": len(pairs),
            "right": sum(pairs),
            "median_abs_error": median(map(abs, errors)) if errors else None,
            "loads": [asdict(load) for load in self.loads],
        }

    def errors(self) -> list[float]:
        """Planned / measured - 1 of every chip at every load that the planner answers."""
        return [c.planned / c.measured - 1 for load in self.loads for c in load.chips if c.planned]


def ranking(rows: Sequence[Row]) -> Ranking:
    """The ranking of the serving rows. Raises UserError where no two chips were measured at one load."""
    points: defaultdict[tuple[str, float, float], list[BenchmarkPoint]] = defaultdict(list)
    for row in rows:
        point = benchmark_point(row)
        if isinstance(point, BenchmarkPoint) and (number(row["ttft_ms"]) or 0.0) <= 1e3 * TTFT_S:
            points[(point.case.arch_name, *point.lengths)].append(point)
    loads = tuple(load for own in points.values() for speed in USER_SPEEDS if (load := _ranked(own, speed)))
    if not loads:
        raise UserError(
            "--ranking: no two chips were measured with the same model, isl and osl; it needs rows with isl, osl, and "
            "tpot_ms or tok_s_per_user, of several chips."
        )
    return Ranking(loads)


def _ranked(points: Sequence[BenchmarkPoint], speed: float) -> RankedLoad | None:
    """The chips that were measured at a speed for users, or None where there are not two."""
    own: defaultdict[str, list[BenchmarkPoint]] = defaultdict(list)
    for point in points:
        own[point.chip].append(point)
    fast = [found for found in own.values() if any(point.per_user >= speed for point in found)]
    if len(fast) < 2:
        return None
    first = points[0]
    chips = tuple(_chip(found, speed) for found in fast)
    return RankedLoad(first.case.arch_name, *first.lengths, speed, chips)


def _best(points: Sequence[BenchmarkPoint], speed: float) -> BenchmarkPoint:
    """The most tokens a second and chip at a speed for users, as a point of the layout that gave it."""
    found = [point for point in points if point.per_user >= speed]
    series: defaultdict[tuple[str, ...], list[BenchmarkPoint]] = defaultdict(list)
    for point in points:
        series[point.series].append(point)
    for own in series.values():
        for slow, fast in pairwise(sorted(own, key=lambda point: point.per_user)):
            if slow.per_user < speed < fast.per_user:
                share = math.log(speed / slow.per_user) / math.log(fast.per_user / slow.per_user)
                found.append(
                    replace(fast, per_user=speed, per_chip=slow.per_chip ** (1 - share) * fast.per_chip**share)
                )
    return max(found, key=lambda point: point.per_chip)


def _chip(points: Sequence[BenchmarkPoint], speed: float) -> RankedChip:
    best = _best(points, speed)
    kind = best.case.chips[0][0]
    most = int(max(point.gpus for point in points)) or None
    lengths = Lengths(*best.lengths)
    try:
        engine = engine_of(best.case, Unit(), None)
        choice = choices(engine, lengths, TTFT_S, 1 / speed, None, most)[0]
    except UserError:
        return RankedChip(kind.name, best.id, best.per_chip, None, None, None, "")
    planned = lengths.osl / choice.gpu_seconds(lengths)
    low, high = spread(best.case.arch_name, kind)
    return RankedChip(kind.name, best.id, best.per_chip, planned, planned * low, planned * high, _layout(choice))


def _layout(choice: Choice) -> str:
    """'mixed=TP8', or 'prefill=EP32, decode=EP144'."""
    if isinstance(choice, Mixed):
        return f"mixed={choice.engine.unit.text()}"
    return f"prefill={choice.prefill.engine.unit.text()}, decode={choice.decode.engine.unit.text()}"
