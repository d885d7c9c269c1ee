"""A run that is sent a signal at a step."""

from __future__ import annotations

import math
import signal

import pytest

from centime.train.engine import StepResult, Trainer
from centime.train.run import loop
from centime.train.stages import Batch, StepSettings


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, number: int = signal.SIGTERM) -> None:
    """Sends this process a signal while its step number `steps` is computed, which is taken to its end: on a busy
    machine a step would be long enough to be cut short.
    """
    monkeypatch.setattr(loop, "LONG_STEP_S", math.inf)
    real, seen = Trainer.step, [0]

    def step(self: Trainer, batch: Batch, settings: StepSettings) -> StepResult:
        if settings.lr:  # not one of the forecast's
            seen[0] += 1
            if seen[0] == steps:
                signal.raise_signal(number)
        return real(self, batch, settings)

    monkeypatch.setattr(Trainer, "step", step)
