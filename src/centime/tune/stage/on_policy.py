"""On-policy distillation: the student answers, and learns what the teacher makes of each of its own tokens.

GKD (arXiv 2306.13649, algorithm 1): with probability lambda a step's answers are the student's own, else those of the
data; the divergence is the stage's, whichever they are.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.recipe import Distil
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.rollouts import RolloutEngine
from centime.train.engine import ranks
from centime.train.kinds import DistilKind, LiveStage
from centime.train.run.loop import StageLoop
from centime.train.stages import Batch, PairRows, RowsAsked, StageRows


class OnPolicyDistilKind(DistilKind):
    """Distillation whose answers the student may draw itself, by its section's `drawn`."""

    def __init__(self) -> None:
        super().__init__()
        self._tokenizer: Tokenizer | None = None
        self._drawer: StudentAnswers | None = None  # of the stage that was begun last
        self._seed = 0

    def rows(self, asked: RowsAsked) -> PairRows:
        assert isinstance(asked.section, Distil)
        if asked.section.drawn and ranks().world > 1:
            raise UserError("A student draws its answers in one process yet; start it without torchrun.")
        self._tokenizer, self._seed = asked.tokenizer, asked.recipe.seed
        return super().rows(asked)

    def begin(self, live: LiveStage) -> None:
        section = live.plan.stage
        assert isinstance(section, Distil)
        assert self._tokenizer is not None
        model = live.engine.objective.model
        self._drawer = StudentAnswers(model, self._tokenizer, section, self._seed) if section.drawn else None

    def own_loop(self) -> Callable[..., Any]:
        return partial(OnPolicyLoop, drawer=lambda: self._drawer)

    def seconds_beside(self, live: LiveStage) -> Mapping[str, float]:
        """By one step's answers, drawn by the weights as they are now, times the share of such steps."""
        section = live.plan.stage
        assert isinstance(section, Distil)
        if not section.drawn:
            return {}
        self.begin(live)
        assert self._drawer is not None
        began = time.perf_counter()
        self._drawer.batch(live.plan.steps(0, 1).batch(0), 0)
        return {"rollout" + live.plan.name.removeprefix("distil"): section.drawn * (time.perf_counter() - began)}


class StudentAnswers:
    """Puts a student's own answers in place of those of a batch.

    Every draw is a function of the run's seed, the step and the row, so that a step that is taken again from the same
    weights has the same answers.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, section: Distil, seed: int) -> None:
        self._model, self._section, self._seed = model, section, seed
        self._engine = RolloutEngine(model, tokenizer)

    def own(self, step: int) -> bool:
        """Whether the answers of a step are the student's: with probability `drawn`, by the seed and the step."""
        digest = hashlib.blake2b(f"centime on-policy {self._seed} {step}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self._section.drawn * 2**64

    def batch(self, given: Batch, step: int) -> Batch:
        """The same prompts with answers drawn now, every token of these with the same weight.

        A prompt that leaves no room in its row keeps its given answer.
        """
        assert given.weights is not None
        depth, rows = len(self._model.mtp), given.rows
        learnt = given.weights[:, : given.weights.shape[1] - depth] > 0
        prompts = [rows[i, : int(mask.float().argmax()) + 1].tolist() for i, mask in enumerate(learnt)]
        room = self._section.sequence_length - max(map(len, prompts))
        if room < 1:
            return given
        params = SamplingParams(max_tokens=min(room, self._section.max_tokens), temperature=1.0)
        training = self._model.training
        self._model.eval()
        self._engine.refresh()  # the weights have changed
        try:
            found = self._engine.sample(prompts, 1, params, seed=self._seed, place=step * len(prompts))
        finally:
            self._model.train(training)
        return _batch(given, [(prompt, own[0].tokens) for prompt, own in zip(prompts, found, strict=True)], depth)


def _batch(given: Batch, answered: list[tuple[list[int], list[int]]], depth: int) -> Batch:
    width = max(len(prompt) + len(answer) for prompt, answer in answered)
    rows = torch.zeros(len(answered), width + depth, dtype=torch.int64)
    weights = torch.zeros(len(answered), width - 1 + depth)
    for i, (prompt, answer) in enumerate(answered):
        end = len(prompt) + len(answer)
        rows[i, :end] = torch.tensor([*prompt, *answer])
        weights[i, len(prompt) - 1 : end - 1] = 1.0
    lengths: Tensor = torch.tensor([len(prompt) + len(answer) - 1 for prompt, answer in answered])
    total = float(sum(len(answer) for _, answer in answered))
    return replace(
        given,
        rows=rows,
        weights=weights,
        lengths=lengths,
        loss_tokens=total,
        tokens=int(lengths.sum()),
        notes={"drawn": 1.0, "length": total / len(answered)},
    )


class _Drawn(StageRows):
    """A stage's rows, with the student's own answers in the steps that are its own."""

    def __init__(self, given: StageRows, drawer: StudentAnswers) -> None:
        super().__init__(given.rows, given.schedule, *given.place)
        self._drawer = drawer

    def batch(self, step: int) -> Batch:
        given = super().batch(step)
        return self._drawer.batch(given, step) if self._drawer.own(step) else given


@dataclass
class OnPolicyLoop(StageLoop):
    """The loop of any stage, over rows that the student has answered."""

    drawer: Callable[[], StudentAnswers | None] = field(kw_only=True)

    def _begin(self) -> None:
        super()._begin()
        if (drawer := self.drawer()) is not None:
            self.rows = _Drawn(self.rows, drawer)
