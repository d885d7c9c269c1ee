"""Before the first step: what the run will take, from a few timed steps. Nothing of them stays in the model."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from centime.catalogue.prices import Price
from centime.train.batches import StageRows
from centime.train.engine import Engine
from centime.train.schedule import StepSettings
from centime.train.stages import StagePlan
from centime.train.step import Batch, Trainer

REPEATS = 3  # timed steps of each kind, after one that warms up


@dataclass(frozen=True)
class StageForecast:
    """What one stage will take."""

    name: str
    steps: int
    tokens: int
    flops: float
    seconds: float
    spread: float  # half the range of the timed steps over their median


@dataclass(frozen=True)
class StepCost:
    """Seconds of a step: `overhead` once, and `micro_batch` for each."""

    overhead: float
    micro_batch: float
    spread: float


def measure(engine: Engine, plan: StagePlan, micro_batch: int, clip: float) -> StepCost:
    """Times steps of the stage's shape with a learning rate of zero, then forgets the optimizer's moments.

    A step of one micro-batch and, where steps have several, one of two: their difference is a micro-batch, the rest
    what every step pays (clip, optimizer, communication).
    """
    trainer = Trainer(engine, micro_batch, clip)
    rows = plan.steps(engine.rank, engine.world)
    largest = int(plan.schedule.rows.max())
    still = StepSettings(
        lr=0.0, mtp_weight=plan.stage.mtp_weight, bias_speed=0.0, balance_weight=plan.stage.balance_loss
    )
    one = _time(trainer, _some(rows, micro_batch * engine.world, largest), still)
    engine.forget_moments()
    if largest <= micro_batch * engine.world:
        return StepCost(0.0, one[0], one[1])
    two = _time(trainer, _some(rows, 2 * micro_batch * engine.world, largest), still)
    engine.forget_moments()
    each = max(two[0] - one[0], 0.5 * one[0])
    return StepCost(max(0.0, one[0] - each), each, max(one[1], two[1]))


def _some(rows: StageRows, count: int, largest: int) -> Batch:
    return rows.rows.batch(0, min(count, largest), *rows.place)


def _time(trainer: Trainer, batch: Batch, settings: StepSettings) -> tuple[float, float]:
    """(median seconds, half the range over it) of a step."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        trainer.step(batch, settings)
        times.append(time.perf_counter() - start)
    times = sorted(times[1:])
    median = times[len(times) // 2]
    return median, (times[-1] - times[0]) / 2 / median


def stage_forecast(plan: StagePlan, cost: StepCost, micro_batch: int, world: int, evaluated_rows: int) -> StageForecast:
    """The stage's steps at the measured cost, each with its own number of micro-batches, and its evaluations.

    An evaluated row is taken for a third of a trained one: forward without backward.
    """
    per_rank = -(-plan.schedule.rows // world)
    micro_batches = int((-(-per_rank // micro_batch)).sum()) + evaluated_rows / world / micro_batch / 3
    seconds = plan.schedule.steps * cost.overhead + micro_batches * cost.micro_batch
    return StageForecast(
        plan.name, plan.schedule.steps, plan.tokens, plan.tokens * plan.flops_per_token, seconds, cost.spread
    )


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

    def cost(self, seconds: float) -> float | None:
        """Money of some seconds on all devices."""
        return None if self.price is None else seconds / 3600 * self.devices * self.price.per_device_hour

    def as_plan(self, startup_seconds: float = 0.0, timing_seconds: float = 0.0) -> dict[str, Any]:
        """The forecast as the ledger keeps it, with what is spent already: start-up, and the steps timed for it.

        The bill has the latter in the first stage.
        """

        def line(tokens: float, flops: float, seconds: float) -> dict[str, Any]:
            hours = seconds / 3600 * self.devices
            return {
                "tokens": tokens,
                "flops": flops,
                "seconds": seconds,
                "device_hours": hours,
                "cost": self.cost(seconds),
            }

        stages = [replace(self.stages[0], seconds=self.stages[0].seconds + timing_seconds), *self.stages[1:]]
        seconds = startup_seconds + sum(s.seconds for s in stages)
        total = line(sum(s.tokens for s in stages), sum(s.flops for s in stages), seconds)
        return total | {
            "currency": self.price.currency if self.price else None,
            "memory_bytes": self.memory_bytes,
            "stages": {s.name: line(s.tokens, s.flops, s.seconds) for s in stages},
        }

    def scaled(self, factors: list[float]) -> Forecast:
        """The same with each stage's length changed."""
        stages = [
            replace(
                s,
                steps=max(1, round(s.steps * f)),
                tokens=round(s.tokens * f),
                flops=s.flops * f,
                seconds=s.seconds * f,
            )
            for s, f in zip(self.stages, factors, strict=True)
        ]
        return replace(self, stages=stages)
