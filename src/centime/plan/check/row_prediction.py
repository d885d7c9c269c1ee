"""What the planner says of one row of a file of published runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from centime.errors import UserError
from centime.plan.check.file import Row, Schema, number, sealed, target_of

Figures = tuple[float, float, float]  # predicted, low, high


@dataclass(frozen=True)
class RowPrediction:
    """One row predicted, or the reason why it was not.

    `predicted`, `low`, `high` and `actual` are in `unit`, in the convention of the row's own source; low to high is
    the 80 % interval. `target` is the column that was predicted, None where the row has none of the targets; `error`
    is predicted / actual - 1, None where either is missing. `reason` says why a row has no prediction, else is empty.
    """

    id: str
    target: str | None
    unit: str
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    actual: float | None = None
    error: float | None = None
    reason: str = ""

    @property
    def answered(self) -> bool:
        """Whether there is a prediction to compare."""
        return self.error is not None

    @property
    def covered(self) -> bool:
        """Whether the actual figure lies inside the interval."""
        return None not in (self.low, self.high, self.actual) and self.low <= self.actual <= self.high  # type: ignore[operator]


def row_prediction(schema: Schema, row: Row, figures: Callable[[Row, str], Figures]) -> RowPrediction:
    """What `figures` says of a row's target: the figure with the ends of its 80 % interval.

    It sees the row sealed. Where it raises UserError, or the row states no target, the reason stands there.
    """
    name, target = row.get("id") or "", target_of(schema, row)
    if target is None:
        return RowPrediction(name, None, "", reason="no target is stated")
    unit, actual = schema.targets[target], number(row[target])
    if actual is None:
        return RowPrediction(name, target, unit, reason=f"{target} is {row[target]!r}, not a number above zero")
    try:
        found, low, high = figures(sealed(schema, row), target)
    except UserError as error:
        return RowPrediction(name, target, unit, actual=actual, reason=error.args[0])
    return RowPrediction(name, target, unit, found, low, high, actual, found / actual - 1)
