"""A row of published serving speeds as a point: what a user got, and what a chip gave.

The chips are those of the layout that the row states, where it states one: tables multiply degrees that are of the same
chips, and leave out the copies of a unit that their clients were spread over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from centime.errors import UserError
from centime.plan.check.file import Row
from centime.plan.check.phases import ServingRow
from centime.plan.check.serving import chips_of, read_case
from centime.plan.check.serving_rows import number, speculation
from centime.plan.serving.units import Unit


@dataclass(frozen=True)
class BenchmarkPoint:
    """Tokens/s of a user (`per_user`) and output tokens/s of a chip (`per_chip`); gpus: 0 where none are stated."""

    id: str
    case: ServingRow
    gpus: float
    lengths: tuple[float, float]
    per_user: float
    per_chip: float

    @property
    def chip(self) -> str:
        """The name of the chip."""
        return self.case.chips[0][0].name

    @property
    def series(self) -> tuple[str, ...]:
        """What it has in common with points of other loads."""
        row = self.case.row
        return row["engine"], row["precision"], re.sub(r"\bbs\d+", "", row["config"]), row["group"]

    def to_json(self) -> dict[str, Any]:
        """What a chart says of it."""
        row = self.case.row
        return {
            "id": self.id,
            "chip": self.chip,
            "engine": row["engine"],
            "precision": row["precision"],
            "per_user": self.per_user,
            "per_chip": self.per_chip,
        }


def benchmark_point(row: Row) -> BenchmarkPoint | str:
    """The row as a point, or why it is none that can be compared."""
    try:
        case = read_case(row)
    except UserError:
        return "a model or chip that is not known"
    isl, osl, token = number(row["isl"]), number(row["osl"]), number(row["tpot_ms"])
    if not (isl and osl):
        return "no lengths"
    if len({kind.name for kind, _ in case.chips}) > 1:
        return "several kinds of chip"
    if "doubtful" in row["confidence"]:
        return "a layout that its source doubts"
    if speculation(row, case.model.mtp_params > 0, Unit())[0]:
        return "drafted tokens"
    try:
        gpus = chips_of(case)
    except UserError:
        gpus = float(case.gpus)
    user = number(row["tok_s_per_user"]) or (1e3 / token if token else None)
    rate = _per_chip(row, isl, osl, gpus)
    if user is None or rate is None:
        return "no speed for a user, or no tokens of a chip"
    return BenchmarkPoint(row["id"], case, gpus, (isl, osl), user, rate)


def _per_chip(row: Row, isl: float, osl: float, gpus: float) -> float | None:
    """Output tokens/s of a chip: stated, or by Little's law of a closed loop's clients and what they waited for."""
    stated, total = number(row["output_tok_s_per_gpu"]), number(row["total_tok_s_per_gpu"])
    if stated or total:
        return stated or (total or 0.0) * osl / (isl + osl)
    first, token, clients = (number(row[name]) for name in ("ttft_ms", "tpot_ms", "concurrency_or_batch"))
    if not (first and token and clients and gpus):
        return None
    return clients * osl / (first + (osl - 1) * token) * 1e3 / gpus
