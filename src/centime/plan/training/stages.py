"""The stages of a training run, each a number of steps: pre-training, context extension, supervised tuning, RL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from centime.plan.layouts.longer import fastest_longer
from centime.plan.step.job import Job
from centime.plan.step.prediction import StepPrediction
from centime.plan.training.goodput import Goodput
from centime.plan.training.post_training import Reinforcement, answers_step, rl_step
from centime.plan.training.request import Extension


@dataclass(frozen=True)
class PlannedStage:
    """A stage of training. Hours are chip-hours with failures, low and high their 80 % interval."""

    name: str  # pretrain, extension, sft, rl, post
    tokens: float
    steps: float
    step: StepPrediction | None  # None: the hours are an assumed input
    gpu_hours: float
    low_hours: float
    high_hours: float
    parts: Mapping[str, float] = field(default_factory=dict)  # of RL: hours of rollouts, scoring and updates

    def to_json(self) -> dict[str, Any]:
        """The stage as --json prints it."""
        return {
            "name": self.name,
            "tokens": self.tokens,
            "steps": self.steps,
            "seq": self.step.seq if self.step else None,
            "global_batch": self.step.global_batch if self.step else None,
            "step_time_s": self.step.step_time_s if self.step else None,
            "gpu_hours": self.gpu_hours,
            "interval": {"low": self.low_hours, "high": self.high_hours},
            "assumed": self.step is None,
            **({"parts": dict(self.parts)} if self.parts else {}),
        }


def stage_of_tokens(name: str, tokens: float, step: StepPrediction, gpus: int, long: Goodput) -> PlannedStage:
    """A stage of so many tokens; all `gpus` are paid for, those that a layout leaves idle too."""
    steps = tokens / (step.global_batch * step.seq)
    hours = steps * gpus / 3600 / long.share
    middle, low, high = (hours * seconds for seconds in (step.step_time_s, step.low_s, step.high_s))
    return PlannedStage(name, tokens, steps, step, middle, low, high)


def stage_of_rl(job: Job, step: StepPrediction, rl: Reinforcement, gpus: int, long: Goodput) -> PlannedStage:
    """A stage of RL, its interval as wide as training's twice over: generation is the coarser half."""
    longer = answers_step(job, rl, step)
    each = rl_step(job, gpus, rl, longer)
    hours_a_second = rl.steps * gpus / 3600 / long.share
    hours = each.seconds * hours_a_second
    low, high = (end / longer.step_time_s for end in (longer.low_s, longer.high_s))
    parts = {part: seconds * hours_a_second for part, seconds in asdict(each).items()}
    return PlannedStage("rl", rl.tokens, rl.steps, longer, hours, hours * low**2, hours * high**2, parts)


def stage_of_extension(job: Job, step: StepPrediction, stage: Extension, gpus: int, long: Goodput) -> PlannedStage:
    """A stage at a longer sequence, in the layout of pre-training with as much context parallelism as memory asks."""
    found = fastest_longer(step.layout, replace(job, seq=stage.seq, global_batch=stage.global_batch))
    tokens = float(stage.steps * stage.global_batch * stage.seq)
    return stage_of_tokens("extension", tokens, found, gpus, long)
