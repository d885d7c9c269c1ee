"""What a step of reinforcement is made of: answers drawn and graded, learned from, and judged."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from centime.ledger import Meter
from centime.model import Transformer
from centime.recipe.rl_section import ReinforcementSection
from centime.train.engine import StepResult, Trainer
from centime.train.run.callbacks import Record
from centime.train.stages import Batch, StepSettings
from centime.tune.advantage import interval
from centime.tune.groups import Drawn, Sample, batches
from centime.tune.objective import PolicyObjective
from centime.tune.problems import Problem, ProblemSource
from centime.tune.rewards import Grader
from centime.tune.sampling import Sampler
from centime.tune.stage.journal import Journal


@dataclass(frozen=True)
class Asking:
    """Who is asked what, and how answers are graded: all that a stage of reinforcement keeps from step to step."""

    settings: ReinforcementSection
    problems: ProblemSource
    held_out: list[Problem]
    grader: Grader
    sampler: Sampler
    objective: PolicyObjective
    reference: Transformer | None  # of the divergence; None where the loss has none
    forward_flops: float  # a token
    train_flops: float
    muon: bool  # the optimizer's
    deterministic: bool  # updates go by the likelihoods of their own forward pass, not by those of the roll-out


@dataclass(frozen=True)
class Learned:
    """The updates of a step: the last one's result, what was measured over all, the tokens, and how many failed."""

    result: StepResult | None
    measures: dict[str, float]
    tokens: int
    skipped: int


class ReinforcedSteps:
    """The parts of a step, each on a line of the bill of its own: rollout, reward, evaluate; updates on the stage's.

    stage: its name, "rl", or "rl-2" of a run's second one, whose number the other lines have too. note: hears what a
    person should know.
    """

    def __init__(
        self,
        asking: Asking,
        trainer: Trainer,
        meter: Meter,
        journal: Journal,
        note: Callable[[str], None],
        stage: str,
    ) -> None:
        self.asking, self.trainer, self.meter, self.journal = asking, trainer, meter, journal
        self._note, self._stage = note, stage
        self._told: set[str] = set()  # what went wrong with rewards, as far as it was said

    def line(self, part: str) -> None:
        """From here on time is booked under this part of a step."""
        self.meter.stage(part + self._stage.removeprefix("rl"))

    def drawn(self, step: int, problems: int, share: float) -> tuple[Drawn, int]:
        """A step's graded groups, from problem number `problems` on, and the number of the first one after them.

        From the journal where an earlier attempt came so far, else drawn and booked. share: of the steps, done before.
        """
        if (kept := self.journal.read(step)) is not None:
            return kept
        self.line("rollout")
        asking = self.asking
        drawn, after = asking.sampler.step(asking.problems, step, problems, share, lambda: self.line("reward"))
        drawn.faults = self._faults(f"step {step + 1}")
        self.journal.write(step, drawn, after)
        self.line("rollout")
        tokens = drawn.prompt_tokens + drawn.answer_tokens
        self.meter.add(tokens=tokens, flops=tokens * asking.forward_flops)
        return drawn, after

    def _faults(self, graded: str) -> int:
        """How many of the answers just graded have no reward but 0, for something went wrong; new causes are said."""
        rule = self.asking.grader.rule
        faults, rule.notes = rule.notes, []
        for fault in dict.fromkeys(faults):
            if fault not in self._told:
                self._told.add(fault)
                self._note(f"{graded}: {faults.count(fault)} answers get a reward of 0: {fault}")
        return len(faults)

    def learn(self, step: int, drawn: Drawn, settings: StepSettings) -> Learned:
        """The step's updates, booked. Before the first, every `reference_every` steps, the reference is renewed."""
        asking = self.asking
        self.meter.stage(self._stage)
        if asking.reference is not None and step % asking.settings.reference_every == 0:
            asking.reference.load_state_dict(asking.objective.model.state_dict())
        tokens, skipped, result = 0, 0, None
        if asking.muon:  # its updates have one size: few live groups would move the weights as far as many
            live = sum(not group.silent for group in drawn.groups) / max(1, asking.settings.prompts)
            settings = replace(settings, lr=settings.lr * min(1.0, live))
        learned = batches(drawn, asking.settings)
        apart = {}
        if asking.deterministic:  # before any update
            told, learned = learned, [self._as_learned(batch) for batch in learned]
            furthest = [(a.beside["old"] - b.beside["old"]).abs().max() for a, b in zip(told, learned, strict=True)]
            apart = {"drawn_apart": float(max(furthest))} if furthest else {}
        for batch in learned:
            result = self.trainer.step(self._with_reference(batch), settings)
            self.meter.add(tokens=batch.tokens, flops=batch.tokens * asking.train_flops)
            tokens += batch.tokens
            if result.skipped:
                skipped += 1
                self._note(f"step {step + 1}: not finite; nothing was updated.")
        return Learned(result, asking.objective.taken() | apart, tokens, skipped)

    def _as_learned(self, batch: Batch) -> Batch:
        """The batch with likelihoods as the forward pass of its update will have them, to the bit.

        A roll-out computes each answer in other shapes, which moves last bits; these are of the very micro-batches.
        """
        width = batch.rows.shape[1] - 1
        found = [self.asking.objective.likelihoods(micro).cpu() for micro in self.trainer.micro_batches(batch)]
        old = torch.cat([nn.functional.pad(own, (0, width - own.shape[1])) for own in found])
        return replace(batch, beside=dict(batch.beside) | {"old": old})

    def _with_reference(self, batch: Batch) -> Batch:
        asking, micro = self.asking, self.trainer.micro_batch
        if asking.reference is None:
            return batch
        assert batch.weights is not None
        device = asking.objective.model.head_weight.device
        found = [
            asking.objective.log_probabilities(
                asking.reference,
                batch.rows[at : at + micro].to(device),
                (batch.weights[at : at + micro] != 0).to(device),
            ).cpu()
            for at in range(0, len(batch.rows), micro)
        ]
        return replace(batch, beside=dict(batch.beside) | {"reference": torch.cat(found)})

    def evaluation(self, step: int) -> dict[str, float]:
        """{accuracy, spread, form, length, problems} of the likeliest answers to the held-out problems, before a step.

        spread: the standard deviation of `right` among them. From the journal where an earlier attempt came so far;
        kept there before it is booked.
        """
        if (kept := self.journal.read_evaluation(step)) is not None and "spread" in kept:
            return kept
        asking = self.asking
        self.line("evaluate")
        drawn = asking.sampler.evaluate(asking.held_out)
        self._faults(f"evaluation after step {step}")
        found = {
            "accuracy": drawn.mean("right"),
            "spread": statistics.pstdev(group.samples[0].grade.right for group in drawn.groups),
            "form": drawn.mean("formed"),
            "length": drawn.answer_tokens / len(drawn.groups),
            "problems": float(len(drawn.groups)),
        }
        self.journal.write_evaluation(step, found)
        tokens = drawn.prompt_tokens + drawn.answer_tokens
        self.meter.add(tokens=tokens, flops=tokens * asking.forward_flops)
        return found

    def shown(self, drawn: Drawn) -> dict[str, Record]:
        """The best and the worst answer of a step, as a person reads them."""
        of = {id(sample): group.problem for group in drawn.groups for sample in group.samples}
        samples = [sample for group in drawn.groups for sample in group.samples]

        def told(sample: Sample) -> Record:
            problem, text = of[id(sample)], self.asking.sampler.text(sample)
            return {"prompt": problem.prompt, "right": problem.answer, "text": text, "reward": sample.grade.reward}

        best, worst = max(samples, key=lambda s: s.grade.reward), min(samples, key=lambda s: s.grade.reward)
        return {"best": told(best), "worst": told(worst)}


def silent_share(drawn: Drawn) -> float:
    """Share of a step's groups, replaced ones among them, from which nothing can be learned."""
    return 1 - sum(not group.silent for group in drawn.groups) / max(1, len(drawn.groups) + drawn.redrawn)


def step_record(drawn: Drawn, learned: Learned, seconds: tuple[float, float]) -> Record:
    """What a step's record says of its answers. seconds: of the whole step, and of these its roll-outs and grades."""
    samples = [sample for group in drawn.groups for sample in group.samples]
    return {
        "reward": float(drawn.rewards.mean()),
        "reward_interval": interval(drawn.rewards),
        "right": drawn.mean("right"),
        "form": drawn.mean("formed"),
        "silent": silent_share(drawn),
        "length": sum(len(sample.tokens) for sample in samples) / len(samples),
        "cut": sum(sample.cut for sample in samples) / len(samples),
        "redrawn": drawn.redrawn,
        "graded": drawn.drawn,
        "reward_faults": drawn.faults,
        "seconds": seconds[0],
        "rollout_seconds": seconds[1],
        "update_seconds": seconds[0] - seconds[1],
        "tokens_per_s": drawn.answer_tokens / max(seconds[1], 1e-9),
    } | learned.measures


def evaluation_record(found: dict[str, float]) -> dict[str, Any]:
    """What an evaluation's record says, with a 95 % interval of the accuracy (normal approximation).

    A reward of the user's own may say more than right and wrong, so that the spread is measured.
    """
    count = found["problems"]
    return {
        "eval_accuracy": found["accuracy"],
        "eval_interval": 1.96 * found["spread"] / count**0.5,
        "eval_form": found["form"],
        "eval_length": found["length"],
        "eval_problems": int(count),
    }
