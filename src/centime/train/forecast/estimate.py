"""What the run will take: the stages at the measured cost of their steps, and how far off that may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from centime.catalogue.prices import Price
from centime.train.forecast.timing import StepSeconds
from centime.train.stages import StagePlan

# How much a machine's pace differs between the seconds that are timed and the minutes that follow, one standard
# deviation of its logarithm: clocks that fall when warm, other programs, what no timed step has (records, checkpoints).
# Windows of 30 steps of a whole quickstart lay within 15 % of their stage's mean in 80 to 100 % of the cases.
DRIFT = 0.10
# What no timed step has, at most: a stage's optimizer, its first step's memory, a sample, a checkpoint. Runs of seconds
# on two cores took 0.3 to 0.6 s a stage longer than their steps; nothing beside the minutes of others.
UNTIMED_S = 1.0
EVALUATED = 1 / 3  # of a trained row's time, that an evaluated one takes: forward without backward
SIGMAS = 1.96  # of a normal distribution: 95 in 100 lie inside


@dataclass(frozen=True)
class StageForecast:
    """What one stage will take."""

    name: str
    steps: int
    tokens: int
    flops: float
    seconds: float
    fixed_seconds: float  # of these, the last evaluation, whatever the stage's length
    error: float  # of the steps' mean time, one standard deviation over it
    beside: Mapping[str, float] = field(default_factory=dict)  # of `seconds`, those on lines of the bill of their own


def stage_forecast(
    plan: StagePlan, cost: StepSeconds, micro_batch: int, world: int, rows_between: float, rows_last: float
) -> StageForecast:
    """The stage's steps at the measured cost, each with its own number of micro-batches, and its evaluations.

    rows_between, rows_last: held-out rows evaluated on the way, and at the stage's end.
    """
    per_rank = -(-plan.schedule.rows // world)
    micro_batches = int((-(-per_rank // micro_batch)).sum())
    row = EVALUATED * cost.micro_batch / world / micro_batch
    steps = plan.schedule.steps * cost.once + micro_batches * cost.micro_batch + rows_between * row
    last = rows_last * row
    flops = plan.tokens * plan.flops_per_token
    beside = {line: plan.schedule.steps * seconds for line, seconds in cost.beside.items()}
    return StageForecast(plan.name, plan.schedule.steps, plan.tokens, flops, steps + last, last, cost.error, beside)


def interval(seconds: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """(low, high) that 95 of 100 sums of stages lie in.

    Independent errors of the stages and a drift common to all; above that, what a stage has beside its steps.
    """
    total = sum(seconds)
    if not total:
        return 0.0, 0.0
    own = math.sqrt(sum((s * e) ** 2 for s, e in zip(seconds, errors, strict=True))) / total
    factor = math.exp(SIGMAS * math.hypot(own, DRIFT))
    return total / factor, total * factor + UNTIMED_S * len(seconds)


@dataclass(frozen=True)
class Forecast:
    """All stages, memory and money; `as_plan` is what the bill sets beside the actual."""

    stages: list[StageForecast]
    memory_bytes: int  # of one rank
    devices: int
    price: Price | None

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)

    def between(self) -> tuple[float, float]:
        """The interval of `seconds`."""
        return interval([stage.seconds for stage in self.stages], [stage.error for stage in self.stages])

    def cost(self, seconds: float) -> float | None:
        """Money of some seconds on all devices."""
        return None if self.price is None else seconds / 3600 * self.devices * self.price.per_device_hour

    def as_plan(self, startup_seconds: float = 0.0, timing_seconds: float = 0.0) -> dict[str, Any]:
        """The forecast as the ledger keeps it, with what is spent already: start-up, and the steps timed for it.

        The bill has the latter in the first stage. `seconds_low` and `seconds_high` are the interval of `seconds`.
        """
        spent = startup_seconds + timing_seconds
        low, high = self.between()
        stages = [replace(self.stages[0], seconds=self.stages[0].seconds + timing_seconds), *self.stages[1:]]
        total = self._line(
            sum(s.tokens for s in stages), sum(s.flops for s in stages), spent + self.seconds, spent + low, spent + high
        )
        lines = {}
        for i, (stage, shown) in enumerate(zip(self.stages, stages, strict=True)):
            before = timing_seconds if i == 0 else 0.0
            own = shown.seconds - sum(stage.beside.values())
            low, high = interval([own - before], [stage.error])
            lines[stage.name] = self._line(stage.tokens, stage.flops, own, before + low, before + high)
            if stage.beside:  # how many tokens are drawn, and learned from, is not known before
                del lines[stage.name]["tokens"], lines[stage.name]["flops"]
            for line, seconds in stage.beside.items():
                low, high = interval([seconds], [stage.error])
                timed = self._line(0, 0, seconds, low, high)
                lines[line] = {key: value for key, value in timed.items() if key not in ("tokens", "flops")}
        return total | {
            "currency": self.price.currency if self.price else None,
            "memory_bytes": self.memory_bytes,
            "stages": lines,
        }

    def _line(self, tokens: float, flops: float, seconds: float, low: float, high: float) -> dict[str, Any]:
        return {
            "tokens": tokens,
            "flops": flops,
            "seconds": seconds,
            "seconds_low": low,
            "seconds_high": high,
            "device_hours": seconds / 3600 * self.devices,
            "cost": self.cost(seconds),
        }
