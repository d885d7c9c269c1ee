"""Points that somebody measured, from a file in the columns of serving runs that `plan check` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.plan.check.file import SERVING, Row, read_file
from centime.plan.check.serving import read_case
from centime.plan.check.serving_rows import number
from centime.plan.serving.choice import Lengths

NEAR = 1.25  # times longer or shorter prompts and answers: still the same load


@dataclass(frozen=True)
class MeasuredPoint:
    """A row as a point: the chip's name, tokens/s of a user, output tokens/s of a chip."""

    id: str
    chip: str
    engine: str
    precision: str
    per_user: float
    per_chip: float


@dataclass(frozen=True)
class Measured:
    """The rows that are points of the chart, and how many were left out by reason."""

    points: tuple[MeasuredPoint, ...]
    left_out: dict[str, int]


def measured(path: Path, model: str, chips: tuple[Chip, ...], lengths: Lengths) -> Measured:
    """The points of a file that are of the model, one of the chips and about the lengths.

    Raises UserError on a file that is none of serving runs.
    """
    file = read_file(path, SERVING.kind)
    found: list[MeasuredPoint] = []
    reasons: dict[str, int] = {}
    for row, fault in zip(file.rows, file.faults, strict=True):
        point = "a cell that cannot be read" if fault else _point(row, model, chips, lengths)
        if isinstance(point, MeasuredPoint):
            found.append(point)
        else:
            reasons[point] = reasons.get(point, 0) + 1
    return Measured(tuple(found), reasons)


def _point(row: Row, model: str, chips: tuple[Chip, ...], lengths: Lengths) -> MeasuredPoint | str:
    """The row as a point, or why it is none."""
    try:
        case = read_case(row)
    except UserError:
        return "a model or chip that is not known"
    kinds = {kind.name for kind, _ in case.chips}
    if case.arch_name != model:
        return "another model"
    if len(kinds) > 1 or not kinds <= {kind.name for kind in chips}:
        return "another chip"
    if not all(_near(row, name, wanted) for name, wanted in (("isl", lengths.isl), ("osl", lengths.osl))):
        return "other lengths"
    speed, rate = per_user(row), per_chip(row, case.gpus)
    if speed is None or rate is None:
        return "no speed for a user, or no tokens of a chip"
    return MeasuredPoint(row["id"], next(iter(kinds)), row["engine"], row["precision"], speed, rate)


def _near(row: Row, column: str, wanted: float) -> bool:
    stated = number(row[column])
    return stated is not None and 1 / NEAR <= stated / wanted <= NEAR


def per_user(row: Row) -> float | None:
    """Tokens/s that a user gets: stated, or of the time a token."""
    stated, token = number(row["tok_s_per_user"]), number(row["tpot_ms"])
    return stated or (1e3 / token if token else None)


def per_chip(row: Row, gpus: int) -> float | None:
    """Output tokens/s of a chip: stated, or by Little's law of a closed loop's clients and what they waited for."""
    stated, total = number(row["output_tok_s_per_gpu"]), number(row["total_tok_s_per_gpu"])
    isl, osl = number(row["isl"]), number(row["osl"])
    if stated:
        return stated
    if total and isl and osl:
        return total * osl / (isl + osl)
    first, token, clients = (number(row[name]) for name in ("ttft_ms", "tpot_ms", "concurrency_or_batch"))
    if not (first and token and clients and osl and gpus):
        return None
    return clients * osl / (first + (osl - 1) * token) * 1e3 / gpus
