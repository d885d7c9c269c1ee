"""The published runs that the training planner is fitted to: each with the seconds of its step, and of its phases."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError
from centime.plan.check.file import TRAINING, target_of
from centime.plan.check.published_run import PublishedRun, read_run
from centime.plan.check.training import value_of
from centime.plan.step.efficiency import generation
from centime.plan.step.intervals import model_family


def seconds_of(row: dict[str, str], run: PublishedRun, target: str, value: float) -> float:
    """Seconds of the step that a published figure means: the inverse of `value_of`."""
    one = value_of(row, run, target, 1.0)
    return value if target == "step_time_s" else one / value


SEPARATOR = " | "  # of the model and the chip of a cell


@dataclass(frozen=True)
class Sample:
    """A run with the seconds of its step, and of phases where its source states them."""

    file: str
    row: dict[str, str]
    run: PublishedRun
    seconds: float
    phases: dict[str, float]

    @property
    def weight(self) -> float:
        """How much it counts in the fit: a quarter where its layout had to be assumed."""
        return 1.0 if self.run.known_layout else 0.25

    @property
    def cell(self) -> str:
        return f"{self.run.job.arch.name}{SEPARATOR}{self.run.job.chip.name}"

    @property
    def family(self) -> str:
        return model_family(self.run.job.arch)

    @property
    def generation(self) -> str:
        return generation(self.run.job.chip)


PHASES = {
    "forward_1f": r"\b1F (\d+\.?\d*)",
    "backward_1b": r"\b1B (\d+\.?\d*)",
    "weight_1w": r"\b1W (\d+\.?\d*)",
    "steady_1f1b": r"\b1F1B (\d+\.?\d*)",
    "bubble": r"\bbubble (\d+\.?\d*)",
    "optimizer": r"\bopt (\d+\.?\d*)",
}


def read_samples(path: Path) -> list[Sample]:
    """Rows with a measured speed, of benchmarks or with a known layout.

    A step's phases stand in the notes of DeepSeek's rows.
    """
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            target = target_of(TRAINING, row)
            if target is None:
                continue
            try:
                run = read_run(row)
            except UserError as error:
                print(f"{row['id']}: left out: {error}", file=sys.stderr)
                continue
            if run.known_layout or "benchmark" in row["kind"]:
                matches = {name: re.search(pattern, row.get("notes") or "") for name, pattern in PHASES.items()}
                phases = (
                    {name: float(match[1]) for name, match in matches.items() if match} if all(matches.values()) else {}
                )
                seconds = seconds_of(row, run, target, float(row[target]))
                found.append(Sample(path.name, row, run, seconds, phases))
    return found
