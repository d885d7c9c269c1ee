"""A step's answers: groups of samples of one prompt with their grades, as rows that the training engine takes.

Letters of shapes: B answers, S inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.recipe.rl_section import ReinforcementSection
from centime.train.stages import Batch
from centime.tune.advantage import advantages, token_weights
from centime.tune.problems import Problem
from centime.tune.rewards import Grade


@dataclass(frozen=True)
class Sample:
    """One answer: every token drawn, the end among them, and each one's log-probability as it was drawn."""

    tokens: list[int]
    logprobs: list[float]
    cut: bool  # it has no end of its own
    grade: Grade


@dataclass(frozen=True)
class Group:
    """The samples of one problem."""

    problem: Problem
    prompt: list[int]
    samples: list[Sample]

    @property
    def silent(self) -> bool:
        """Whether all samples got one reward: nothing can be learned from them."""
        return len({sample.grade.reward for sample in self.samples}) == 1


@dataclass
class Drawn:
    """A step's groups, and what it took to draw and grade them."""

    groups: list[Group]
    drawn: int  # samples, replaced groups among them
    prompt_tokens: int
    answer_tokens: int
    redrawn: int = 0  # groups replaced for want of a signal
    faults: int = 0  # samples whose reward could not be told, and is 0

    @property
    def rewards(self) -> Tensor:
        """float32 [groups, samples]."""
        return torch.tensor([[sample.grade.reward for sample in group.samples] for group in self.groups])

    def mean(self, of: str) -> float:
        """The mean of a grade's field over all samples."""
        values = [float(getattr(sample.grade, of)) for group in self.groups for sample in group.samples]
        return sum(values) / len(values)


def batches(drawn: Drawn, settings: ReinforcementSection) -> list[Batch]:
    """The step's updates: those answers that have an advantage, cut into `updates` parts of about as many.

    Groups without a signal are left out, for their gradient is zero; they count in no mean (DAPO, eq. 11).
    """
    worth = advantages(drawn.rewards, settings.loss.advantage)
    learned = [
        (group.prompt, sample, float(worth[i, j]))
        for i, group in enumerate(drawn.groups)
        for j, sample in enumerate(group.samples)
        if not group.silent and not (sample.cut and settings.overlong == "mask")
    ]
    size = -(-len(learned) // settings.updates) or 1
    return [_batch(learned[at : at + size], settings) for at in range(0, len(learned), size)]


def _batch(learned: Sequence[tuple[list[int], Sample, float]], settings: ReinforcementSection) -> Batch:
    width = max(len(prompt) + len(sample.tokens) for prompt, sample, _ in learned)
    rows = torch.zeros(len(learned), width, dtype=torch.int64)
    answer = torch.zeros(len(learned), width - 1, dtype=torch.bool)
    old = torch.zeros(len(learned), width - 1)
    for i, (prompt, sample, _) in enumerate(learned):
        end, first = len(prompt) + len(sample.tokens), len(prompt) - 1
        rows[i, :end] = torch.tensor([*prompt, *sample.tokens])
        answer[i, first : end - 1] = True
        old[i, first : end - 1] = torch.tensor(sample.logprobs)
    weights, divisor = token_weights(answer, settings.loss, settings.max_tokens)
    lengths = torch.tensor([len(prompt) + len(sample.tokens) - 1 for prompt, sample, _ in learned])
    advantage = torch.tensor([worth for *_, worth in learned])
    return Batch(
        rows,
        loss_tokens=divisor,
        sequences=len(learned),
        tokens=int(lengths.sum()),
        weights=weights,
        lengths=lengths,
        beside={"old": old, "advantage": advantage},
    )
