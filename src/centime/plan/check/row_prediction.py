"""What the planner says of one row of a file of published runs."""

from __future__ import annotations

from dataclasses import dataclass


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
    predicted: float | None
    low: float | None
    high: float | None
    actual: float | None
    error: float | None
    reason: str = ""

    @property
    def answered(self) -> bool:
        """Whether there is a prediction to compare."""
        return self.error is not None

    @property
    def covered(self) -> bool:
        """Whether the actual figure lies inside the interval."""
        return None not in (self.low, self.high, self.actual) and self.low <= self.actual <= self.high  # type: ignore[operator]


def predicted_row(
    id: str, target: str, unit: str, predicted: float, low: float, high: float, actual: float | None
) -> RowPrediction:
    """A row with its prediction; the error follows where the actual figure is known."""
    error = predicted / actual - 1 if actual else None
    return RowPrediction(id, target, unit, predicted, low, high, actual, error)


def unanswered_row(id: str, target: str | None, unit: str, actual: float | None, reason: str) -> RowPrediction:
    """A row that could not be predicted, and why."""
    return RowPrediction(id, target, unit, None, None, None, actual, None, reason)
