"""What the arms of a seed share: base, problems, how answers are drawn and graded, the clock that they are held to."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.r1.base import Pair
from benchmarks.r1.machine import Machine

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.recipe.rl_section import ReinforcementSection
from centime.tune.groups import Drawn
from centime.tune.problems import Problem
from centime.tune.rewards import open_grader
from centime.tune.sampling import Sampler


class Clock:
    """Seconds of the processor since its making, all threads together: what others do on the machine costs an arm
    nothing."""

    def __init__(self) -> None:
        self._began = time.process_time()

    @property
    def seconds(self) -> float:
        return time.process_time() - self._began


@dataclass(frozen=True)
class Bench:
    """One seed's."""

    base: Path
    machine: Machine
    tokenizer: Tokenizer
    settings: ReinforcementSection
    seed: int

    def problems(self, name: str) -> Iterator[Problem]:
        """Problems to train on, without end, an order for every name."""
        draw = random.Random(f"{name} {self.seed}")
        while True:
            yield self.machine.problem(draw)

    def sampler(self, model: Transformer, **settings: int) -> Sampler:
        """Draws from a model as reinforcement does, but for the settings that are given."""
        settings_ = self.settings.model_copy(update=settings)
        return Sampler(model, self.tokenizer, settings_, open_grader(settings_), self.seed)

    def drawn(self, sampler: Sampler, problems: list[Problem], step: int) -> Drawn:
        """Several answers to each; step is the place that chance is taken from."""
        return sampler.step(_Listed(problems), step, 0, 1.0, lambda: None)[0]

    def found(self, sampler: Sampler, source: Iterator[Problem], step: int) -> list[Pair]:
        """The answers to the source's next problems that are right."""
        drawn = self.drawn(sampler, list(islice(source, self.settings.prompts)), step)
        return [
            (group.prompt, one.tokens)
            for group in drawn.groups
            for one in group.samples
            if one.grade.right == 1 and not one.cut
        ]


@dataclass(frozen=True)
class _Listed:
    """Some problems as a source of them."""

    problems: list[Problem]
    fingerprint: str = "listed"

    def problem(self, number: int, progress: float) -> Problem:
        return self.problems[number]

    def held_out(self) -> list[Problem]:
        return []
