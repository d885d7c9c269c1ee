"""A recipe's stages under a budget: as long as it pays for, or a refusal where it buys nothing that is worth a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

INFINITE = float("inf")
LEAST_STEPS = 10  # of all stages together, or all there are: a run of fewer has learned nothing


@dataclass(frozen=True)
class StageAmounts:
    """What one stage takes at the length that the recipe states."""

    steps: int
    tokens: int
    seconds: float  # of its steps: in proportion to their number
    fixed_seconds: float = 0.0  # of its last evaluation, whatever its length


def fit(
    stages: Sequence[StageAmounts], allowed_seconds: float, allowed_tokens: float = INFINITE, stretch: bool = False
) -> list[float]:
    """Factors on each stage's tokens, 0 or more, that bring all stages under the ceilings.

    allowed_seconds may be negative: the time is up, and every factor 0. stretch: the recipe leaves the length of the
    first stage open, which then also grows to fill the budget. Otherwise a budget that is not reached changes nothing.
    """
    left = max(0.0, allowed_seconds - sum(stage.fixed_seconds for stage in stages))
    limits = [
        ([stage.seconds for stage in stages], left),
        ([float(stage.tokens) for stage in stages], max(0.0, allowed_tokens)),
    ]
    limits = [(amounts, allowed) for amounts, allowed in limits if allowed < INFINITE]
    room = min((_ratio(allowed, sum(amounts)) for amounts, allowed in limits), default=1.0)
    if room < 1 or not stretch or not limits:
        return [min(1.0, room)] * len(stages)
    first = min(_ratio(allowed - sum(amounts[1:]), amounts[0]) for amounts, allowed in limits)
    return [max(1.0, first), *(1.0 for _ in stages[1:])]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 1.0


def least_factor(stages: Sequence[StageAmounts]) -> float:
    """The share of the recipe below which a run is refused: LEAST_STEPS steps, or one of each stage."""
    steps = sum(stage.steps for stage in stages)
    return min(1.0, max(LEAST_STEPS, len(stages)) / steps)


def steps_bought(stages: Sequence[StageAmounts], factors: Sequence[float]) -> int:
    """Steps that a budget pays for in full."""
    return math.floor(sum(stage.steps * factor for stage, factor in zip(stages, factors, strict=True)))


def least_seconds(stages: Sequence[StageAmounts]) -> float:
    """What the shortest run that is not refused takes."""
    share = least_factor(stages)
    return sum(share * stage.seconds + stage.fixed_seconds for stage in stages)
