"""The stages of a training run, each a number of steps: pre-training, context extension, supervised tuning, RL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from centime.plan.layouts.longer import fastest_longer
from centime.plan.step.job import Job
from centime.plan.step.prediction import StepPrediction
from centime.plan.training.goodput import Goodput
from centime.plan.training.post_training import Reinforcement, rl_step_seconds
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
        }


def stage_of_tokens(name: str, tokens: float, step: StepPrediction, gpus: int, long: Goodput) -> PlannedStage:
    """A stage of so many tokens; all `gpus` are paid for, those that a layout leaves idle too."""
    steps = tokens / (step.global_batch * step.seq)
    hours = steps * gpus / 3600 / long.share
    return PlannedStage(name, tokens, steps, step, *(hours * s for s in (step.step_time_s, step.low_s, step.high_s)))


def stage_of_rl(job: Job, step: StepPrediction, rl: Reinforcement, gpus: int, long: Goodput) -> PlannedStage:
    """A stage of RL, its interval as wide as training's twice over: generation is the coarser half."""
    seconds = rl.steps * rl_step_seconds(job, gpus, rl, step)
    hours = seconds * gpus / 3600 / long.share
    low, high = (end / step.step_time_s for end in (step.low_s, step.high_s))
    return PlannedStage("rl", rl.tokens, rl.steps, step, hours, hours * low**2, hours * high**2)


def stage_of_extension(job: Job, step: StepPrediction, stage: Extension, gpus: int, long: Goodput) -> PlannedStage:
    """A stage at a longer sequence, in the layout of pre-training with as much context parallelism as memory asks."""
    found = fastest_longer(step.layout, replace(job, seq=stage.seq, global_batch=stage.global_batch))
    tokens = float(stage.steps * stage.global_batch * stage.seq)
    return stage_of_tokens("extension", tokens, found, gpus, long)
