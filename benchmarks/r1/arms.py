"""What else the same money buys, from the same base: fine-tuning on answers, STaR, and a student of half the size.

Each spends what it is given, by the ledger's own clock, and is then asked the same held-out problems.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarks.r1.base import LR, MICRO, batch, config, ids

from centime.data.tokenizers import Tokenizer
from centime.ledger import Meter
from centime.model import Transformer
from centime.model.checkpoint import load
from centime.plan.counts import count
from centime.recipe import Optimizer
from centime.recipe.reinforcement import ReinforcementSection
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import StepSettings
from centime.tune.groups import Drawn
from centime.tune.problems import ProblemSource, open_problems
from centime.tune.rewards import open_grader
from centime.tune.sampling import Sampler

BATCH = 96  # pairs a step


@dataclass(frozen=True)
class Marks:
    """What a model does with the held-out problems, each a share or a mean."""

    right: float
    formed: float
    length: float

    @staticmethod
    def of(drawn: Drawn) -> Marks:
        lengths = [len(group.samples[0].tokens) for group in drawn.groups]
        return Marks(drawn.mean("right"), drawn.mean("formed"), sum(lengths) / len(lengths))


class Arm:
    """A model, how it is trained, and how it is asked."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, settings: ReinforcementSection, seed: int) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.source: ProblemSource = open_problems(settings.problems, seed)
        self.sampler = Sampler(model, tokenizer, settings, open_grader(settings), seed)
        optimizer = Optimizer(name="muon", muon_steps="5")
        self.trainer = Trainer(SingleDevice(model, optimizer, torch.float32), MICRO, 1.0)
        self.tokens_flops = count(model.config, 24).train_flops_per_token

    def marks(self) -> Marks:
        return Marks.of(self.sampler.evaluate(self.source.held_out()))

    def learn(self, pairs: list[tuple[list[int], list[int]]], lr: float, meter: Meter) -> None:
        made = batch(pairs)
        self.trainer.step(made, StepSettings(lr, 0.0, 0.0, 0.0))
        meter.add(tokens=made.tokens, flops=made.tokens * self.tokens_flops)


def sft(base: Path, arm: Arm, seconds: float, lr: float, meter: Meter) -> Marks:
    """Fine-tuning on problems and their right answers, which is all that anybody wrote down."""
    began, number, left = time.monotonic(), 0, 1.0
    while left > 0:
        problems = [arm.source.problem(number + i, 1.0) for i in range(BATCH)]
        number += BATCH
        arm.learn([ids(arm.tokenizer, one.prompt, f"={one.answer}") for one in problems], lr * max(0.05, left), meter)
        left = 1 - (time.monotonic() - began) / seconds
    return arm.marks()


def star(arm: Arm, seconds: float, lr: float, meter: Meter) -> Marks:
    """Rejection sampling: it is tuned on what it got right itself, step after step (arXiv 2203.14465)."""
    began, step, number = time.monotonic(), 0, 0
    while time.monotonic() - began < seconds:
        drawn, number = arm.sampler.step(arm.source, step, number, 1.0, lambda: None)
        right = [(g.prompt, s.tokens) for g in drawn.groups for s in g.samples if s.grade.right == 1 and not s.cut]
        if right:
            arm.learn(right, lr, meter)
        step += 1
    return arm.marks()


def student(teacher: Path, arm: Arm, seconds: float, seed: int, meter: Meter) -> Marks:
    """A fresh model of half the width, tuned on the teacher's answers to training problems (R1, section 2.4)."""
    asked = Arm(load(teacher), arm.tokenizer, arm.settings, seed)
    pool: list[tuple[list[int], list[int]]] = []
    began, draw, number = time.monotonic(), random.Random(seed), 0
    while (time.monotonic() - began) < seconds / 4:
        found = asked.sampler.evaluate([asked.source.problem(number + i, 1.0) for i in range(256)])
        pool += [(g.prompt, g.samples[0].tokens) for g in found.groups if g.samples[0].grade.right == 1]
        number += 256
    while pool and (passed := time.monotonic() - began) < seconds:
        arm.learn(draw.choices(pool, k=BATCH), LR * max(0.05, 1 - passed / seconds), meter)
    return arm.marks()


def half(base_width: int, tokenizer: Tokenizer, seed: int) -> Transformer:
    model = Transformer(config(base_width // 2, 2, tokenizer))
    model.init_weights(seed)
    return model
