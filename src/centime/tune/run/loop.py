"""The loop of reinforcement: draw, grade, learn, evaluate, save; each apart on the bill."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from centime.ledger import Meter
from centime.train.engine import StepResult, Trainer
from centime.train.folder import Checkpoints, RunProgress
from centime.train.run.callbacks import Callback, Record
from centime.train.run.signals import StopSignals
from centime.train.stages import Batch, StepSettings
from centime.tune.advantage import interval
from centime.tune.groups import Drawn, batches
from centime.tune.run.health import RunHealth
from centime.tune.run.journal import Journal
from centime.tune.run.setup import TuningSetup

STAGE = "rl"  # of the records


class TuningEnding(enum.Enum):
    """Why the loop ended."""

    FINISHED = "its steps are done"
    TARGET = "the target is reached"
    BUDGET = "the budget is spent"
    SIGNAL = "a signal stopped it"


@dataclass
class TuningProgress(RunProgress):
    """Where a run of reinforcement is."""

    problems: int = 0  # asked so far
    first_accuracy: float = -1.0  # before the first step; -1: not yet evaluated
    evaluated: int = -1  # the step of the last evaluation
    accuracy: float = -1.0  # and what it found


class TuningLoop:
    """Runs the steps of a setup."""

    def __init__(
        self,
        setup: TuningSetup,
        progress: TuningProgress,
        meter: Meter,
        callbacks: Sequence[Callback],
        checkpoints: Checkpoints,
        journal: Journal,
        signals: StopSignals,
    ) -> None:
        self.setup, self.progress, self.meter, self.callbacks = setup, progress, meter, callbacks
        self.checkpoints, self.journal, self.signals = checkpoints, journal, signals
        self.trainer = Trainer(setup.engine, setup.recipe.run.micro_batch, setup.recipe.optimizer.clip)
        self.health = RunHealth(setup.settings)
        self.began = time.monotonic()
        self.saved = progress.step  # of the last checkpoint that was begun
        self.told: set[str] = set()  # what went wrong with rewards, as far as it was said
        self.samples: dict[str, Any] = {}  # the best and the worst of the last step, for the reader

    def go(self) -> TuningEnding:
        """To the end of the recipe, the target, the budget or a signal; saves on leaving.

        Raises UserError where the run is dead, or a journal cannot be written.
        """
        settings, progress = self.setup.settings, self.progress
        self._tell(lambda c: c.on_stage(STAGE, settings.steps, progress.step))
        while True:
            due = progress.step % settings.evaluate_every == 0 or progress.step == settings.steps
            if due and progress.evaluated != progress.step:
                self._evaluate()
            if (ending := self._ending()) is not None:
                self.save(wait=True)
                return ending
            if progress.step % self.setup.recipe.run.checkpoint_every == 0:
                self.save(wait=False)
            self._step()

    def save(self, wait: bool) -> None:
        """A checkpoint of now; the journal's steps before it are needless then."""
        progress, spent = self.progress, self.meter.spent()
        meta = asdict(progress) | {"rows": self.setup.problems.fingerprint, "order": 1}
        meta["device_ns"] += spent.device_ns
        meta["cost"] += spent.cost or 0.0
        tensors = dict(self.setup.engine.state())
        if self.setup.reference is not None:
            tensors |= {f"reference/{name}": tensor for name, tensor in self.setup.reference.state_dict().items()}
        if self.checkpoints.save(progress.global_step, tensors, meta, wait):  # the one before it is on the disk
            self.journal.forget(progress.step if wait else self.saved)
        self.saved = progress.step

    def _ending(self) -> TuningEnding | None:
        setup, progress = self.setup, self.progress
        if self.signals.received is not None:
            return TuningEnding.SIGNAL
        if setup.settings.target is not None and progress.accuracy >= setup.settings.target:
            return TuningEnding.TARGET
        if progress.step >= setup.settings.steps:
            return TuningEnding.FINISHED
        spent_s = progress.device_ns / 1e9 + time.monotonic() - self.began
        if spent_s > setup.allowed_seconds or progress.tokens > setup.allowed_tokens:
            return TuningEnding.BUDGET
        return None

    def _step(self) -> None:
        start = time.perf_counter()
        drawn, after = self._drawn()
        drawn_s = time.perf_counter() - start
        self.meter.stage("update")
        result, measures, tokens = self._learn(drawn)
        seconds = time.perf_counter() - start
        progress = self.progress
        silent = 1 - sum(not group.silent for group in drawn.groups) / max(1, len(drawn.groups) + drawn.redrawn)
        progress.step, progress.global_step, progress.problems = progress.step + 1, progress.global_step + 1, after
        progress.tokens += tokens + drawn.prompt_tokens + drawn.answer_tokens
        self._record(drawn, result, measures, silent, (seconds, drawn_s))
        note = self.health.look(progress.step, drawn, silent, measures.get("entropy"))
        if note is not None:
            self._note(note)

    def _drawn(self) -> tuple[Drawn, int]:
        """The step's graded groups: from the journal where an earlier attempt came so far, else drawn and booked."""
        setup, progress = self.setup, self.progress
        if (kept := self.journal.read(progress.step)) is not None:
            return kept
        self.meter.stage("rollout")
        drawn, after = setup.sampler.step(
            setup.problems,
            progress.step,
            progress.problems,
            progress.step / setup.settings.steps,
            lambda: self.meter.stage("reward"),
        )
        self._tell_faults(drawn)
        self.journal.write(progress.step, drawn, after)
        self.meter.stage("rollout")
        tokens = drawn.prompt_tokens + drawn.answer_tokens
        self.meter.add(tokens=tokens, flops=tokens * setup.forward_flops)
        return drawn, after

    def _tell_faults(self, drawn: Drawn) -> None:
        """What went wrong with rewards: every new cause once, and how many of this step's samples it cost."""
        rule = self.setup.grader.rule
        faults, rule.notes = rule.notes, []
        drawn.faults = len(faults)
        for fault in dict.fromkeys(faults):
            if fault not in self.told:
                self.told.add(fault)
                self._note(f"step {self.progress.step + 1}: {faults.count(fault)} answers get a reward of 0: {fault}")

    def _learn(self, drawn: Drawn) -> tuple[StepResult | None, dict[str, float], int]:
        """The step's updates; the last one's result, what was measured over all, and the tokens learned from."""
        setup, progress = self.setup, self.progress
        settings, tokens, result = setup.settings, 0, None
        if setup.reference is not None and progress.step % settings.reference_every == 0:
            setup.reference.load_state_dict(setup.engine.model.state_dict())
        parts = batches(drawn, settings)
        live = sum(not group.silent for group in drawn.groups) / max(1, settings.prompts)
        for batch in parts:
            result = self.trainer.step(self._with_reference(batch), self._step_settings(live))
            self.meter.add(tokens=batch.tokens, flops=batch.tokens * setup.train_flops)
            tokens += batch.tokens
            if result.skipped:
                progress.skipped += 1
                self._note(f"step {progress.step + 1}: not finite; nothing was updated.")
        return result, setup.objective.taken(), tokens

    def _step_settings(self, live: float) -> StepSettings:
        """A linear warm-up, then constant. Muon's updates have one size whatever the gradient's, so that few live
        groups would move the weights as far as many: its rate is taken times their share."""
        settings = self.setup.settings
        warm = min(1.0, (self.progress.step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        muon = min(1.0, live) if self.setup.recipe.optimizer.name == "muon" else 1.0
        return StepSettings(settings.lr * warm * muon, 0.0, settings.bias_update_speed, settings.balance_loss)

    def _with_reference(self, batch: Batch) -> Batch:
        setup = self.setup
        if setup.reference is None:
            return batch
        assert batch.weights is not None
        micro = setup.recipe.run.micro_batch
        found = [
            setup.objective.log_probabilities(
                setup.reference,
                batch.rows[at : at + micro].to(setup.device),
                (batch.weights[at : at + micro] != 0).to(setup.device),
            ).cpu()
            for at in range(0, len(batch.rows), micro)
        ]
        return replace(batch, beside=dict(batch.beside) | {"reference": torch.cat(found)})

    def _record(
        self,
        drawn: Drawn,
        result: StepResult | None,
        measures: dict[str, float],
        silent: float,
        seconds: tuple[float, float],
    ) -> None:
        progress, settings, rewards = self.progress, self.setup.settings, drawn.rewards
        samples = [sample for group in drawn.groups for sample in group.samples]
        record: Record = {
            "stage": STAGE,
            "step": progress.step,
            "global_step": progress.global_step,
            "tokens": progress.tokens,
            "loss": 0.0 if result is None else result.loss,
            "grad_norm": 0.0 if result is None else result.gradient_norm,
            "lr": self._step_settings(1.0).lr,
            "reward": float(rewards.mean()),
            "reward_interval": interval(rewards),
            "right": drawn.mean("right"),
            "form": drawn.mean("formed"),
            "silent": silent,
            "length": sum(len(sample.tokens) for sample in samples) / len(samples),
            "cut": sum(sample.cut for sample in samples) / len(samples),
            "redrawn": drawn.redrawn,
            "graded": drawn.drawn,
            "reward_faults": drawn.faults,
            "seconds": seconds[0],
            "rollout_seconds": seconds[1],
            "update_seconds": seconds[0] - seconds[1],
            "tokens_per_s": drawn.answer_tokens / max(seconds[1], 1e-9),
            "seconds_left": seconds[0] * (settings.steps - progress.step),
        } | measures
        self._money(record)
        best, worst = max(samples, key=lambda s: s.grade.reward), min(samples, key=lambda s: s.grade.reward)
        self.samples = {"best": self._shown(drawn, best), "worst": self._shown(drawn, worst)}
        self._tell(lambda c: c.on_step(record))

    def _shown(self, drawn: Drawn, sample: Any) -> Record:
        problem = next(group.problem for group in drawn.groups if any(one is sample for one in group.samples))
        text = self.setup.sampler.text(sample)
        return {"prompt": problem.prompt, "right": problem.answer, "text": text, "reward": sample.grade.reward}

    def _evaluate(self) -> None:
        progress = self.progress
        found = self.journal.read_evaluation(progress.step) or self._evaluation()
        accuracy, count = found["accuracy"], found["problems"]
        if progress.first_accuracy < 0:
            progress.first_accuracy = accuracy
        progress.evaluated, progress.accuracy = progress.step, accuracy
        record: Record = {
            "stage": STAGE,
            "step": progress.step,
            "global_step": progress.global_step,
            "tokens": progress.tokens,
            "eval_accuracy": accuracy,
            "eval_interval": 1.96 * (accuracy * (1 - accuracy) / count) ** 0.5,
            "eval_form": found["form"],
            "eval_length": found["length"],
            "eval_problems": int(count),
        }
        self._money(record)
        points = 100 * (accuracy - progress.first_accuracy)
        if record.get("cost") is not None and points > 0:
            record["cost_per_point"] = record["cost"] / points
        self._tell(lambda c: c.on_evaluation(record))

    def _evaluation(self) -> dict[str, float]:
        """The likeliest answers to the held-out problems, kept before they are booked."""
        setup = self.setup
        self.meter.stage("evaluate")
        drawn = setup.sampler.evaluate(setup.held_out)
        found = {
            "accuracy": drawn.mean("right"),
            "form": drawn.mean("formed"),
            "length": drawn.answer_tokens / len(drawn.groups),
            "problems": float(len(drawn.groups)),
        }
        self.journal.write_evaluation(self.progress.step, found)
        tokens = drawn.prompt_tokens + drawn.answer_tokens
        self.meter.add(tokens=tokens, flops=tokens * setup.forward_flops)
        return found

    def _money(self, record: Record) -> None:
        """What the run has cost by now, earlier attempts too."""
        spent = self.meter.spent()
        if spent.cost is not None:
            record["cost"] = self.progress.cost + spent.cost
            record["currency"] = spent.currency

    def _note(self, text: str) -> None:
        self._tell(lambda c: c.on_note(text))

    def _tell(self, say: Callable[[Callback], None]) -> None:
        for callback in self.callbacks:
            say(callback)
