"""What a prediction of published runs is to be compared with: their own noise, and a look-up of the nearest run.

The noise floor is the spread of runs that are alike in all that was asked for and differ in software and source alone:
no planner that does not know the software can be closer. The look-up answers a run with the figure of the nearest other
run that states the same column; a planner that is no better than it has only remembered.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

from centime.errors import UserError
from centime.plan.check.file import Row, Schema, number, target_of

UNLIKE = 1.0  # distance of two words that differ: as far as a size e times as large
OTHER_CHIP = 2.0  # of another chip of the same generation
OTHER_GENERATION = 6.0  # of a chip of another one


def noise_floor(schema: Schema, rows: Sequence[Row]) -> dict[str, Any]:
    """Spread of repeated configurations: median |ln(a / b)| over pairs of rows with equal inputs.

    Each pair is compared in the first target that both fill. None where the file repeats nothing.
    """
    alike: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if target_of(schema, row):
            alike[tuple(row[column].casefold() for column in schema.inputs)].append(row)
    spreads: list[float] = []
    repeated = 0
    for group in alike.values():
        before = len(spreads)
        for a, b in combinations(group, 2):
            both = next((column for column in schema.targets if number(a[column]) and number(b[column])), None)
            if both:
                spreads.append(abs(math.log(float(a[both]) / float(b[both]))))
        repeated += len(spreads) > before
    return {
        "configurations": repeated,
        "pairs": len(spreads),
        "median_abs_log_ratio": median(spreads) if spreads else None,
    }


@dataclass(frozen=True)
class _Seen:
    """A row as the look-up compares it."""

    row: Row
    target: str
    cell: tuple[str, str]  # (model, chip)
    sizes: dict[str, float]  # logarithms of its numeric inputs
    words: tuple[str, ...]
    generation: str

    def far(self, other: _Seen) -> float:
        """Differences of log sizes where both state one, of words, and of the chip."""
        a, b = self.sizes, other.sizes
        sizes = sum(abs(value - b[column]) if column in b else UNLIKE / 2 for column, value in a.items())
        sizes += UNLIKE / 2 * sum(column not in a for column in b)
        words = sum(one != another for one, another in zip(self.words, other.words, strict=True))
        if self.cell[1] == other.cell[1]:
            chips = 0.0
        else:
            chips = OTHER_CHIP if self.generation == other.generation else OTHER_GENERATION
        return sizes + UNLIKE * words + chips

    def error_of(self, nearest: _Seen) -> float:
        """predicted / actual - 1 when another row's figure is the answer."""
        return float(nearest.row[self.target]) / float(self.row[self.target]) - 1


@dataclass(frozen=True)
class LookedUp:
    """What the look-up's error is for one row (predicted / actual - 1), None where no other row states its column."""

    alone: bool  # whether no other row is of its model and chip
    nearest: float | None
    foreign: float | None  # from rows of another model or chip only


def look_up(schema: Schema, rows: Sequence[Row]) -> dict[str, LookedUp]:
    """By row id, how far off the look-up is."""
    seen = [_seen(schema, row, target) for row in rows if (target := target_of(schema, row)) and number(row[target])]
    held = Counter(one.cell for one in seen)
    found = {}
    for one in seen:
        others = sorted((o for o in seen if o is not one and number(o.row[one.target])), key=one.far)
        foreign = next((other for other in others if other.cell != one.cell), None)
        found[one.row["id"]] = LookedUp(
            held[one.cell] == 1,
            one.error_of(others[0]) if others else None,
            one.error_of(foreign) if foreign else None,
        )
    return found


def nearest_row(found: Mapping[str, LookedUp], errors: Mapping[str, float | None]) -> dict[str, Any]:
    """How far off the look-up is, beside the planner's `errors` (by row id) on the same rows.

    A cell is a (model, chip). `with_replicate`: rows whose cell holds another row, which the look-up may use.
    `without_replicate`: rows alone in their cell. `cell_left_out`: every row, answered from other cells only. In each,
    only rows that both answer are counted.
    """
    tables: dict[str, list[tuple[float, float]]] = {"with_replicate": [], "without_replicate": [], "cell_left_out": []}
    for name, one in found.items():
        planned = errors.get(name)
        if planned is None or one.nearest is None:
            continue
        tables["without_replicate" if one.alone else "with_replicate"].append((one.nearest, planned))
        if one.foreign is not None:
            tables["cell_left_out"].append((one.foreign, planned))
    return {name: _both(pairs) for name, pairs in tables.items()}


def _seen(schema: Schema, row: Row, target: str) -> _Seen:
    columns = (*schema.numbers, "concurrency_or_batch") if "concurrency_or_batch" in schema.words else schema.numbers
    return _Seen(
        row,
        target,
        (row["model"].casefold(), row["gpu"].casefold()),
        {column: math.log(value) for column in columns if (value := number(row[column]))},
        tuple(row[column].casefold() for column in schema.words if column not in {"gpu", "concurrency_or_batch"}),
        _generation(row["gpu"]),
    )


@functools.cache
def _generation(name: str) -> str:
    """The generation of a chip by name; the name itself where the catalogue does not know it."""
    from centime.catalogue.chips import chip

    try:
        return chip(name).generation or name
    except UserError:
        return name


def _both(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "n": len(pairs),
        "median_abs_error": median(abs(e) for e, _ in pairs) if pairs else None,
        "planner_median_abs_error": median(abs(p) for _, p in pairs) if pairs else None,
    }
