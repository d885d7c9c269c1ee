"""Another planner's estimates of a file's rows, judged on the rows that both answer, beside the look-up.

A file of estimates is a CSV with the column `id` and some of the columns that are predicted, each in its own unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from centime.csv_files import parse
from centime.errors import UserError, nearest
from centime.input_files import read_text
from centime.plan.check.file import Row, Schema, number, target_of


@dataclass(frozen=True)
class Peer:
    """Errors (predicted / actual - 1) of the planner, of a peer and of the look-up, on the same rows, by row id."""

    name: str
    planner: dict[str, float]
    peer: dict[str, float]
    look_up: dict[str, float]  # the nearest row of another model or chip

    def to_json(self) -> dict[str, Any]:
        """How many rows, and each one's median error and bound of 90 %."""
        each = {"planner": self.planner, "peer": self.peer, "nearest_row": self.look_up}
        return {"name": self.name, "n": len(self.peer)} | {
            name: spread(errors.values()) for name, errors in each.items()
        }


def spread(errors: Iterable[float]) -> dict[str, float | None]:
    """The median of absolute errors, and what nine in ten of them stay within; None of no errors."""
    off = sorted(map(abs, errors))
    if not off:
        return {"median_abs_error": None, "p90_abs_error": None}
    p90 = quantiles(off, n=10, method="inclusive")[-1] if len(off) > 1 else off[0]
    return {"median_abs_error": median(off), "p90_abs_error": p90}


@dataclass(frozen=True)
class Estimates:
    """A file of estimates: row id -> target -> the figure, of the cells that are filled."""

    path: Path
    figures: dict[str, dict[str, float]]


def beside(
    estimates: Estimates,
    schema: Schema,
    rows: Sequence[Row],
    planner: Mapping[str, float | None],
    look_up: Mapping[str, float],
) -> Peer:
    """Estimates against the rows, where the planner (errors by row id) and the look-up answer too.

    Raises UserError where they share no row with these.
    """
    errors = {}
    for row in rows:
        target = target_of(schema, row)
        told = estimates.figures.get(row["id"], {}).get(target or "")
        if target and told and planner.get(row["id"]) is not None and row["id"] in look_up:
            errors[row["id"]] = told / float(row[target]) - 1
    if not errors:
        raise UserError(
            f"{estimates.path} estimates no row that the planner answers: its ids and columns must be those of the "
            "runs' file."
        )
    ours = {name: error for name in errors if (error := planner[name]) is not None}
    return Peer(estimates.path.stem, ours, errors, {name: look_up[name] for name in errors})


def read_estimates(path: Path, schema: Schema) -> Estimates:
    """A file of estimates. Raises UserError where it cannot be read, lacks `id` or every target, leaves an id empty,
    names a row twice, or holds a figure that is no number above zero."""
    head, lines = parse(read_text(path, "a CSV file of estimates"), str(path), "save it as CSV, UTF-8")
    names = [name.strip() for name in head]
    targets = [name for name in names if name in schema.targets]
    if "id" not in names or not targets:
        near = nearest("id" if "id" not in names else next(iter(schema.targets)), names)
        raise UserError(
            f"{path} has the columns {', '.join(names) or 'none'}; a file of estimates needs id and one of "
            f"{', '.join(schema.targets)}.{near}"
        )
    out: dict[str, dict[str, float]] = {}
    for line, fields in lines:
        cells = dict(zip(names, map(str.strip, fields), strict=False))
        if not (name := cells.get("id", "")):
            raise UserError(f"{path}, line {line}: id is empty; say which row is estimated.")
        if name in out:
            raise UserError(f"{path}, line {line}: row {name!r} is estimated a second time; keep one.")
        out[name] = {}
        for target in targets:
            if text := cells.get(target, ""):
                value = number(text)
                if value is None:
                    raise UserError(f"{path}, line {line}: {target} is {text!r}, not a number above zero.")
                out[name][target] = value
    return Estimates(path, out)
