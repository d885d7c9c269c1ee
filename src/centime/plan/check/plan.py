"""`centime plan check`: every row of a file of published runs predicted, and how far off the planner is.

Error is predicted / actual - 1. `bias` is the median signed error; `coverage80` the share of answered rows whose actual
figure lies in the 80 % interval; `median_width` the median of (high - low) / (2 predicted), how far an interval reaches
to either side. A row without a target is not counted in `n`; production runs that state GPU-hours alone are reported
apart, because their hours hold restarts and idle time: an upper bound on a speed, not a speed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

from centime.errors import UserError
from centime.plan.check import serving, training
from centime.plan.check.baselines import LookedUp, look_up, nearest_row, noise_floor
from centime.plan.check.file import TRAINING, Row, RunFile, Schema, number, read_file, target_of
from centime.plan.check.peer import Estimates, Peer, beside, read_estimates, spread
from centime.plan.check.ranking import Ranking, ranking
from centime.plan.check.row_prediction import RowPrediction

Predictor = Callable[[Row], RowPrediction]


@dataclass(frozen=True)
class Production:
    """A production run: what its tokens would take at the predicted speed, against the hours its makers state."""

    id: str
    model: str
    gpu: str
    predicted_gpu_hours: float | None
    low: float | None
    high: float | None
    stated_gpu_hours: float
    ratio: float | None  # stated / predicted
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """A file of runs, predicted."""

    verb: ClassVar[str] = "check"
    path: Path
    file: RunFile
    rows: list[RowPrediction]
    production: list[Production]
    ranking: Ranking | None = None  # of chips, where it was asked for
    target: str | None = None  # the only column that is predicted; None: the first that a row fills
    estimates: Estimates | None = None  # another planner's, to be judged beside

    @cached_property
    def noise(self) -> dict[str, Any]:
        """The spread of repeated configurations in the file."""
        return noise_floor(self.file.schema, self._sound_rows())

    @cached_property
    def nearest(self) -> dict[str, Any]:
        """The error of the nearest-row look-up, beside the planner's on the same rows."""
        return nearest_row(self._look_up, self._errors)

    @cached_property
    def peer(self) -> Peer | None:
        """The peer's estimates judged, where there are some."""
        if self.estimates is None:
            return None
        foreign = {name: one.foreign for name, one in self._look_up.items() if one.foreign is not None}
        return beside(self.estimates, self.file.schema, self._sound_rows(), self._errors, foreign)

    @cached_property
    def _look_up(self) -> dict[str, LookedUp]:
        return look_up(self.file.schema, self._sound_rows())

    @property
    def _errors(self) -> dict[str, float | None]:
        return {row.id: row.error for row in self.rows}

    def _sound_rows(self) -> list[Row]:
        return [row for row, fault in zip(self.file.rows, self.file.faults, strict=True) if not fault]

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The sums by the column `group`, largest first."""
        name_of = {row["id"]: row["group"] or "–" for row in self.file.rows}
        found: defaultdict[str, list[RowPrediction]] = defaultdict(list)
        for row in self.rows:
            if row.target:
                found[name_of[row.id]].append(row)
        return {name: sums(rows) for name, rows in sorted(found.items(), key=lambda item: -len(item[1]))}

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan.md#check."""
        return {
            "kind": self.file.schema.kind,
            "rows": [asdict(row) for row in self.rows],
            "total": sums(self.rows),
            "groups": self.groups,
            "noise_floor": self.noise,
            "nearest_row": self.nearest,
            "production": [asdict(run) for run in self.production],
            **({"ranking": self.ranking.to_json()} if self.ranking else {}),
            **({"beside": self.peer.to_json()} if self.peer else {}),
        }

    def inputs(self) -> dict[str, Any]:
        """The file by path and content."""
        return {
            "file": str(self.path),
            "kind": self.file.schema.kind,
            "sha256": _digest(self.path),
            **({"ranking": True} if self.ranking else {}),
            **({"target": self.target} if self.target else {}),
            **(
                {"beside": str(self.estimates.path), "beside_sha256": _digest(self.estimates.path)}
                if self.estimates
                else {}
            ),
        }


def check_file(
    path: Path,
    kind: str | None = None,
    *,
    ranked: bool = False,
    target: str | None = None,
    peer: Path | None = None,
) -> Check:
    """Every row of the file predicted, and its chips ranked if asked.

    target: the only column to predict. peer: a file of another planner's estimates. Raises UserError as `read_file`,
    `read_estimates` and `beside` do.
    """
    if ranked and target is not None:
        raise UserError(
            f"--target {target} predicts that column alone, and --ranking compares chips by the speeds and latencies "
            "of every column; give one of the two."
        )
    file = read_file(path, kind, target)
    estimates = read_estimates(peer, file.schema) if peer else None  # before anything that takes long
    if ranked and file.schema is TRAINING:
        raise UserError(f"--ranking compares chips that serve, and {path} holds training runs; leave it out.")
    predict = predictor(file.schema)
    rows, production = [], []
    for row, fault in zip(file.rows, file.faults, strict=True):
        hours = number(row.get("gpu_hours", "")) if file.schema is TRAINING and not target_of(TRAINING, row) else None
        if hours and not fault:
            production.append(_production(row, hours, predict))
        elif fault:
            stated = target_of(file.schema, row)
            rows.append(RowPrediction(row["id"], stated, file.schema.targets.get(stated or "", ""), reason=fault))
        else:
            rows.append(predict(row))
    sound = [row for row, fault in zip(file.rows, file.faults, strict=True) if not fault]
    done = Check(path, file, rows, production, ranking(sound) if ranked else None, target, estimates)
    _ = done.peer  # estimates of none of these rows are refused before anything is shown
    return done


def from_inputs(inputs: dict[str, Any]) -> Check:
    """The check that a card describes. Raises UserError where the file is gone or no longer the same."""
    path = Path(inputs["file"])
    peer = Path(inputs["beside"]) if "beside" in inputs else None
    for what, digest in ((path, "sha256"), (peer, "beside_sha256")):
        if what is not None and what.is_file() and _digest(what) != inputs.get(digest, _digest(what)):
            raise UserError(
                f"{what} is not the file that the card was made of: its content differs. Run `plan check` on it."
            )
    return check_file(path, inputs["kind"], ranked=inputs.get("ranking", False), target=inputs.get("target"), peer=peer)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def predictor(schema: Schema) -> Predictor:
    """The function that predicts a row of the schema."""
    return training.predict_row if schema is TRAINING else serving.predict_row


def _production(row: Row, hours: float, predict: Predictor) -> Production:
    """Tokens over the speed that the same run would have, as if its makers had stated one."""
    tokens = number(row["tokens_b"])
    if tokens is None:
        return Production(row["id"], row["model"], row["gpu"], None, None, None, hours, None, "tokens_b is not stated")
    speed = predict({**row, "tokens_per_s_per_gpu": "1"})
    if not (speed.predicted and speed.low and speed.high):
        return Production(row["id"], row["model"], row["gpu"], None, None, None, hours, None, speed.reason)
    most, likely, least = (tokens * 1e9 / rate / 3600 for rate in (speed.low, speed.predicted, speed.high))
    return Production(row["id"], row["model"], row["gpu"], likely, least, most, hours, hours / likely)


def sums(rows: Sequence[RowPrediction]) -> dict[str, Any]:
    """The seven figures of a set of rows; None where nothing was answered."""
    with_target = [row for row in rows if row.target]
    answered = [row for row in with_target if row.error is not None]
    if not answered:
        unknown = dict.fromkeys(("median_abs_error", "p90_abs_error", "bias", "coverage80", "median_width"))
        return {"n": len(with_target), "answered": 0, **unknown}
    return {
        "n": len(with_target),
        "answered": len(answered),
        **spread([row.error for row in answered if row.error is not None]),
        "bias": median(row.error for row in answered if row.error is not None),
        "coverage80": sum(row.covered for row in answered) / len(answered),
        "median_width": median((row.high - row.low) / (2 * row.predicted) for row in answered),  # type: ignore[operator]
    }
