"""The published figures that the serving planner is fitted to and judged by, and the groups that are left out together.

A row gives a sample for every target that the planner answers of it: a closed loop states a time per token and a time
to first token, and both are asked apart.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError
from centime.plan.check.file import SERVING, number, sealed, target_of
from centime.plan.check.serving import ServingRow, open_point, predict, read_case
from centime.plan.serving.choice import WIDE_EXPERTS_SHOWN
from centime.plan.serving.speeds import ServingConstants

LEVELS = ("cell", "model", "chip")  # what is left out: a (model, chip, engine), all rows of a model, all of a chip


@dataclass(frozen=True)
class ServingSample:
    """One figure of one row."""

    row: dict[str, str]
    case: ServingRow
    target: str
    actual: float  # logarithm
    table: str  # the file, and what is asked of it

    def group(self, level: str) -> str:
        """The group that is left out with it."""
        model, kind = self.case.arch_name, self.case.chips[0][0].name
        names = {"cell": (model, kind, self.case.software.engine), "model": (model,), "chip": (kind,)}
        return " | ".join(names[level])

    def predict(self, values: ServingConstants) -> float | None:
        """The logarithm of the planner's figure; None where these constants allow of none."""
        try:
            found = predict(self.case, self.target, values)
        except UserError:
            return None
        return math.log(found) if found > 0 else None


def read_serving_samples(paths: Sequence[Path], values: ServingConstants) -> list[ServingSample]:
    """The samples of the files that the planner answers; each that it does not is named with its reason."""
    found = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                first = target_of(SERVING, row)
                for target in dict.fromkeys(t for t in (first, "ttft_ms") if t and row[t]):
                    if (actual := number(row[target])) is None:
                        continue
                    asked = sealed(SERVING, {**row, **dict.fromkeys(set(SERVING.targets) - {target}, "")})
                    try:
                        case = read_case(asked)
                        if open_point(asked) and case.chips[0][0].vendor.lower() in WIDE_EXPERTS_SHOWN:
                            raise UserError("a frontier of chips whose units cross boxes: of how many is not told")
                        predict(case, target, values)
                    except UserError as error:
                        print(f"{row['id']} {target}: left out: {error}", file=sys.stderr)
                        continue
                    found.append(ServingSample(row, case, target, math.log(actual), table_of(path, row, target)))
    return found


def table_of(path: Path, row: dict[str, str], target: str) -> str:
    """The file's name with what kind of figure it is."""
    kind = {"tpot_ms": "token time", "ttft_ms": "first token"}.get(target, "throughput")
    return f"{path.stem}, {'maximum load' if 'maximum load' in row['phase'] else kind}"
