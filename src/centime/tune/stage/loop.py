"""The loop of a stage of reinforcement: a step draws, grades and learns; evaluations ask held-out problems."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from centime.errors import UserError
from centime.train.folder import BESIDE
from centime.train.run.callbacks import Record
from centime.train.run.loop import StageEnding, StageLoop
from centime.train.stages import StepSettings
from centime.tune.groups import Drawn
from centime.tune.reference import kept_of
from centime.tune.stage.health import RunHealth
from centime.tune.stage.journal import Journal
from centime.tune.stage.steps import (
    Asking,
    Learned,
    ReinforcedSteps,
    evaluation_record,
    silent_share,
    step_record,
)


@dataclass(frozen=True)
class Prepared:
    """A stage of reinforcement about to step: who is asked, and where it keeps what was drawn."""

    asking: Asking
    journal: Journal


@dataclass
class RlLoop(StageLoop):
    """Runs the steps of one stage of reinforcement.

    `progress.own` counts problems asked so far, and keeps accuracy, the step that it is of, the first one, and what the
    run had cost by then.
    """

    prepared: Callable[[], Prepared] = field(kw_only=True)

    def go(self) -> StageEnding:
        """As any stage's; ends at its target too. Raises UserError where it is dead, or a journal cannot be written."""
        asking, self.journal = self.prepared().asking, self.prepared().journal
        self.steps = ReinforcedSteps(asking, self.trainer, self.meter, self.journal, self._note, self.plan.name)
        self.settings, self.health = asking.settings, RunHealth(asking.settings)
        self.checkpointed = self.progress.step  # the step of the last checkpoint that was begun
        try:
            ending = super().go()
        finally:
            asking.grader.rule.close()
        if ending is not StageEnding.SIGNAL:
            self._note(self._achieved())
        return ending

    def _over(self) -> bool:
        return super()._over() or self._met()

    def _met(self) -> bool:
        target, own = self.settings.target, self.progress.own
        return target is not None and own.get("accuracy", -1.0) >= target

    def _achieved(self) -> str:
        """'rl: from 15.0 to 96.5 % of 120 held-out problems right after 40 steps; the target is reached.'"""
        own = self.progress.own
        met = "; the target is reached" if self._met() else ""
        return (
            f"{self.plan.name}: from {100 * own['first_accuracy']:.1f} to {100 * own['accuracy']:.1f} % of "
            f"{len(self.steps.asking.held_out)} held-out problems right after {self.progress.step} steps{met}."
        )

    def _step(self, long: bool) -> float:
        start, progress = time.perf_counter(), self.progress
        number, share = int(progress.own.get("problems", 0)), self.plan.schedule.progress(progress.step)
        with self._interruptible(True):  # what was drawn and not yet kept is drawn anew
            drawn, after = self.steps.drawn(progress.step, number, share)
        drawn_s = time.perf_counter() - start
        settings = self.plan.schedule.settings(progress.step)
        learned = self.steps.learn(progress.step, drawn, settings)
        seconds = time.perf_counter() - start
        progress.step, progress.global_step = progress.step + 1, progress.global_step + 1
        progress.own["problems"] = after
        progress.tokens += learned.tokens + drawn.prompt_tokens + drawn.answer_tokens
        self._record_answers(drawn, learned, settings, (seconds, drawn_s))
        self.samples = self._best_and_worst(drawn)
        self.stepped, self.stepping_s = self.stepped + 1, self.stepping_s + time.perf_counter() - start
        self._count_skipped(learned)
        note = self.health.look(progress.step, drawn, silent_share(drawn), learned.measures.get("entropy"))
        if note is not None:
            self._note(note)
        with self._interruptible(True):
            self._evaluate_if_due()
        return seconds

    def save(self, wait: bool) -> bool:
        """A checkpoint of now; the journal's steps before it are needless once it is on the disk."""
        good = super().save(wait)
        if good:  # of one that was not waited for: the one before it
            self.journal.forget(self.progress.step if wait else self.checkpointed)
        self.checkpointed = self.progress.step
        return good

    def _beside(self) -> Mapping[str, Tensor]:
        state = kept_of(self.steps.asking.reference, self.steps.asking.objective.model)
        return {f"{BESIDE}reference/{name}": tensor for name, tensor in state.items()}

    def _count_skipped(self, learned: Learned) -> None:
        progress = self.progress
        progress.skipped += learned.skipped
        progress.skipped_in_a_row = progress.skipped_in_a_row + 1 if learned.skipped else 0
        if progress.skipped_in_a_row >= self.run.nonfinite_limit:
            raise UserError(
                f"{progress.skipped_in_a_row} steps in a row were not finite, the last one {self.plan.name} step "
                f"{progress.step}. Lower the stage's lr or optimizer.clip, or try run.precision = fp32."
            )

    def _place(self) -> Record:
        progress = self.progress
        return {
            "stage": self.plan.name,
            "step": progress.step,
            "global_step": progress.global_step,
            "tokens": progress.tokens,
        }

    def _record_answers(
        self, drawn: Drawn, learned: Learned, settings: StepSettings, seconds: tuple[float, float]
    ) -> None:
        result = learned.result
        record: Record = {
            **self._place(),
            "loss": 0.0 if result is None else result.loss,
            "grad_norm": 0.0 if result is None else result.gradient_norm,
            "lr": settings.lr,
            "seconds_left": self.clock.seconds_left(self.progress.step),
            **step_record(drawn, learned, seconds),
            **self._money(),
        }
        self._tell(lambda c: c.on_step(record))

    def _evaluate_if_due(self) -> None:
        """Before the first step, every `evaluate_every` steps, and after the last one."""
        progress, own = self.progress, self.progress.own
        due = progress.step % self.settings.evaluate_every == 0 or progress.step == self.plan.schedule.steps
        if not due or own.get("evaluated") == progress.step:
            return
        found = self.steps.evaluation(progress.step)
        record: Record = self._place() | evaluation_record(found) | self._money()
        own["evaluated"], own["accuracy"] = progress.step, found["accuracy"]
        own.setdefault("first_accuracy", found["accuracy"])
        own.setdefault("first_cost", record.get("cost", 0.0))
        points = 100 * (found["accuracy"] - own["first_accuracy"])
        if "cost" in record and points > 0:
            record["cost_per_point"] = (record["cost"] - own["first_cost"]) / points
        self._tell(lambda c: c.on_evaluation(record))

    def _best_and_worst(self, drawn: Drawn) -> list[Record]:
        """The step's, for the reader of the report."""
        found = []
        for which, one in self.steps.shown(drawn).items():
            what = f"{which} of the last step (reward {one['reward']:.3g}, right: {one['right']})"
            found.append({"stage": f"{self.plan.name}, {what}", "prompt": one["prompt"], "text": one["text"]})
        return found

    def _money(self) -> Record:
        """What the run has cost by now, earlier attempts too; nothing without a price."""
        spent = self.meter.spent()
        return {} if spent.cost is None else {"cost": self.progress.cost + spent.cost, "currency": spent.currency}

    def _note(self, text: str) -> None:
        self._tell(lambda c: c.on_note(text))
