"""Post-training from first principles: supervised tuning as more training, reinforcement learning with its rollouts.

A step of RL (GRPO, arXiv 2402.03300) generates `rollouts` answers, scores them with the reference and the old policy
(a forward each) and trains on them. Answers are generated as a server gives them (`plan.serving.engine`), all of a
rollout at once, and training waits for the longest of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any

from centime.errors import UserError, nearest
from centime.plan.layouts.longer import fastest_longer
from centime.plan.step.job import Job
from centime.plan.step.prediction import StepPrediction
from centime.units import parse_count

STAGES = (1, 2, 4, 8)  # pipeline stages of a serving unit
EULER = 0.5772156649  # of the harmonic numbers: 1 + 1/2 + ... + 1/n is about log(n), this and 1 / 2n
EXAMPLE = "steps=10400,rollouts=512,prompt=200,answer=8K"


@dataclass(frozen=True)
class Reinforcement:
    """A stage of RL: steps, answers a step, tokens of a prompt and of an answer on average.

    longest_tokens: where an answer is cut off (R1-Zero: 32,768, then 65,536); None: nowhere.
    steps_per_rollout: steps that train on the answers of one generation (R1: 8,192 answers for 16 steps of 512).
    """

    steps: int
    rollouts: int
    prompt_tokens: float
    answer_tokens: float
    steps_per_rollout: int = 16
    longest_tokens: float | None = None

    @property
    def tokens(self) -> float:
        """Trained on, prompts included."""
        return self.steps * self.rollouts * (self.prompt_tokens + self.answer_tokens)

    def check(self) -> None:
        """Raises UserError on what is not above zero."""
        for name in ("steps", "rollouts", "prompt_tokens", "answer_tokens", "steps_per_rollout", "longest_tokens"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) <= 1e15:
                raise UserError(f"--rl: {name} is {getattr(self, name):g}; expected a number above zero, at most 1e15.")
        if self.longest_tokens is not None and self.longest_tokens < self.answer_tokens:
            raise UserError(
                f"--rl: longest is {self.longest_tokens:g}, below an answer's mean of {self.answer_tokens:g} tokens."
            )

    @property
    def longest(self) -> float:
        """Tokens of a rollout's longest answer: of so many with exponential lengths it has, on average, the mean times
        their harmonic number, unless it is cut off before."""
        answers = self.rollouts * self.steps_per_rollout
        unbounded = self.answer_tokens * (log(answers) + EULER + 0.5 / answers)
        return unbounded if self.longest_tokens is None else min(unbounded, self.longest_tokens)


_KEYS = {
    "steps": "steps",
    "rollouts": "rollouts",
    "prompt": "prompt_tokens",
    "answer": "answer_tokens",
    "longest": "longest_tokens",
    "steps_per_rollout": "steps_per_rollout",
}

_TOKENS = {"prompt", "answer", "longest"}


def parse_reinforcement(text: str) -> Reinforcement:
    """'steps=10400,rollouts=512,prompt=200,answer=8K' -> Reinforcement.

    Raises UserError on an unknown, repeated or missing key, and on what is no quantity.
    """
    found: dict[str, Any] = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        name = _KEYS.get(key)
        if name is None or not equals:
            raise UserError(f"--rl: {item!r} is not one of its settings; write {EXAMPLE}.{nearest(key, _KEYS)}")
        if name in found:
            raise UserError(f"--rl: {key} is given twice; give it once.")
        number = parse_count(value)
        if key not in _TOKENS and number != int(number):
            raise UserError(f"--rl: {key} is {value}; expected a whole number.")
        found[name] = number if key in _TOKENS else int(number)
    missing = [key for key, name in _KEYS.items() if name not in found and key not in ("longest", "steps_per_rollout")]
    if missing:
        raise UserError(f"--rl: {missing[0]} is missing; write {EXAMPLE}.")
    return Reinforcement(**found)


def rollout_seconds(job: Job, gpus: int, rl: Reinforcement) -> float:
    """Seconds in which all chips generate a rollout's answers, on the serving units that take least.

    The weights are in the precision of training, bf16 or eight bits. Raises UserError where no unit of so many chips
    holds the model with a sequence.
    """
    # of the few plans that ask for rollouts; the others answer at once
    from centime.plan.serving.choice import units_to_try
    from centime.plan.serving.costs import model_cost
    from centime.plan.serving.engine import EngineModel, draining_batch
    from centime.plan.serving.speeds import ServingSoftware, speeds
    from centime.plan.serving.units import Unit, number_format

    arch, chip = job.arch, job.chip
    form = number_format("bf16" if job.precision == "bf16" else "fp8", arch.is_mixture)
    engine = EngineModel(model_cost(arch), chip, Unit(), form, speeds(chip, ServingSoftware("", job.software.year)))
    answers = rl.rollouts * rl.steps_per_rollout

    def seconds(tried: EngineModel) -> float:
        each = max(1.0, answers / (gpus // tried.unit.chips))
        return draining_batch(tried, each, rl.prompt_tokens, rl.answer_tokens, rl.longest)

    for stages in STAGES:  # more of them only where less memory does not do
        units = [replace(unit, pp=stages) for unit in units_to_try(chip, arch.is_mixture, gpus)]
        engines = [replace(engine, unit=unit) for unit in units if unit.chips <= gpus]
        if holding := [one for one in engines if one.room(rl.prompt_tokens + rl.answer_tokens) >= 1]:
            return min(map(seconds, holding))
    raise UserError(
        f"{arch.name} does not fit {gpus} x {chip.name} for rollouts of {rl.prompt_tokens + rl.answer_tokens:,.0f} "
        "tokens; use at least as many chips as hold its weights and an answer's cache."
    )


@dataclass(frozen=True)
class ReinforcedStep:
    """Seconds of one step of RL on all chips, its parts one after the other."""

    rollouts: float  # its share of a generation
    scoring: float  # the reference and the old policy, a forward each
    updates: float

    @property
    def seconds(self) -> float:
        """Of all three. Rewards by rule take no chip."""
        return self.rollouts + self.scoring + self.updates


def rl_step(job: Job, gpus: int, rl: Reinforcement, step: StepPrediction) -> ReinforcedStep:
    """What one step of RL takes. step: of training on the same chips, whose tokens/s hold for the answers too; a
    forward is a third of it."""
    rl.check()
    trained = rl.rollouts * (rl.prompt_tokens + rl.answer_tokens) / (step.tokens_per_s_per_gpu * gpus)
    return ReinforcedStep(rollout_seconds(job, gpus, rl) / rl.steps_per_rollout, trained * 2.0 / 3.0, trained)


def answers_step(job: Job, rl: Reinforcement, step: StepPrediction) -> StepPrediction:
    """A step of training on the answers, in the layout of `step` with as much context parallelism as memory asks.

    Of exponential lengths, a token's answer is on average twice as long as an answer (E[L^2] / E[L]), and attention
    costs by that length; a step's answers make half as many such sequences, rounded up to whole replicas. Answers that
    are shorter than the sequences of `step` are packed into these. Raises UserError where no layout holds them.
    """
    seq = round(2 * (rl.prompt_tokens + rl.answer_tokens))
    if seq <= step.seq:
        return step
    sequences = -(-rl.rollouts // 2 // step.layout.dp) * step.layout.dp
    return fastest_longer(step.layout, replace(job, seq=seq, global_batch=max(sequences, step.layout.dp)))
