"""What a run folder says, as data: its steps, evaluations and samples, its recipe and its bill."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.json_files import whole_lines

Record = dict[str, Any]


@dataclass(frozen=True)
class RecordedRun:
    """What a run folder says. `steps` and `evaluations` are in order, with `tokens` counted through all stages."""

    folder: Path
    steps: list[Record]
    evaluations: list[Record]
    samples: list[Record]
    recipe: str
    bill: Mapping[str, Any] | None
    starts: list[tuple[float, str]] = field(default_factory=list)  # tokens at which each stage but the first begins

    @property
    def stages(self) -> list[tuple[float, str]]:
        """Every stage and the tokens at which it begins, the first at 0."""
        first = [(0.0, self.steps[0]["stage"])] if self.steps else []
        return first + self.starts


def read_run(folder: Path, bill: Mapping[str, Any] | None = None) -> RecordedRun:
    """The run folder as data. A step repeated after a resume counts once, as last done; a torn line is left out.

    Raises UserError when the folder has no metrics.jsonl.
    """
    metrics = folder / "metrics.jsonl"
    if not metrics.is_file():
        raise UserError(f"{metrics} does not exist; give the folder of a run that `centime train` has begun.")
    records = list(whole_lines(metrics))
    steps = {(r["stage"], r["step"]): r for r in records if "loss" in r}
    evaluations = {(r["stage"], r["step"]): r for r in records if "eval_loss" in r or "eval_accuracy" in r}
    offsets, starts = _stage_offsets(list(steps.values()))
    for record in (*steps.values(), *evaluations.values()):
        record["tokens"] += offsets.get(record["stage"], 0)
    if bill is None and (folder / "bill.json").is_file():
        bill = json.loads((folder / "bill.json").read_text(encoding="utf-8"))
    recipe, samples = folder / "recipe.toml", folder / "samples.jsonl"
    return RecordedRun(
        folder,
        list(steps.values()),
        list(evaluations.values()),
        list(whole_lines(samples)) if samples.is_file() else [],
        recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        bill,
        starts,
    )


def _stage_offsets(steps: Sequence[Record]) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """How many tokens came before each stage whose own count begins again, and where every later stage begins."""
    offsets: dict[str, float] = {}
    starts: list[tuple[float, str]] = []
    reached = 0.0
    for record in steps:
        stage = record["stage"]
        if stage not in offsets:
            offsets[stage] = reached if record["tokens"] <= reached else 0.0
            if len(offsets) > 1:
                starts.append((reached, stage))
        reached = max(reached, offsets[stage] + record["tokens"])
    return offsets, starts
