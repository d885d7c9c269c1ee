"""The time that a run has left: its stage as it goes, and the later ones as they were forecast."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class RunClock:
    """Time left: the current stage as it goes, and the later ones as planned, each with a pace of its own."""

    planned: list[float]  # seconds of each stage
    stage: int = 0
    steps: int = 1
    began: float = field(default_factory=time.monotonic)
    begun_at: int = 0

    def enter(self, stage: int, steps: int, done: int) -> None:
        """A stage begins at step `done`."""
        self.stage, self.steps, self.begun_at, self.began = stage, steps, done, time.monotonic()

    def seconds_left(self, done: int) -> float:
        """Of the whole run, `done` steps into the stage."""
        here = self.planned[self.stage]
        each = (time.monotonic() - self.began) / (done - self.begun_at) if done > self.begun_at else here / self.steps
        return each * (self.steps - done) + sum(self.planned[self.stage + 1 :])
