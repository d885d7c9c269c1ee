"""The loop of reinforcement: draw, grade, learn, evaluate, save; each apart on the bill."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from centime.ledger import Meter
from centime.train.engine import AdaptedDevice, Trainer
from centime.train.folder import Checkpoints, RunProgress
from centime.train.run.callbacks import Callback, Record
from centime.train.run.signals import StopSignals
from centime.train.stages import StepSettings
from centime.tune.groups import Drawn
from centime.tune.reference import kept_of
from centime.tune.run.health import RunHealth
from centime.tune.run.journal import Journal
from centime.tune.run.setup import TuningSetup
from centime.tune.run.steps import Learned, ReinforcedSteps, evaluation_record, silent_share, step_record

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
    first_accuracy: float = -1.0  # before the first step
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
        trainer = Trainer(setup.engine, setup.recipe.run.micro_batch, setup.recipe.optimizer.clip)
        self.steps = ReinforcedSteps(setup.asking, trainer, meter, journal, self._note)
        self.health = RunHealth(setup.settings)
        self.began = time.monotonic()
        self.saved = progress.step  # of the last checkpoint that was begun
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
        if isinstance(self.setup.engine, AdaptedDevice):
            meta["base"] = self.setup.engine.base
        tensors = dict(self.setup.engine.state())
        tensors |= {
            f"reference/{name}": tensor
            for name, tensor in kept_of(self.setup.reference, self.setup.engine.model).items()
        }
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
        start, progress, settings = time.perf_counter(), self.progress, self.setup.settings
        drawn, after = self.steps.drawn(progress.step, progress.problems, progress.step / settings.steps)
        drawn_s = time.perf_counter() - start
        taken = self._step_settings()
        learned = self.steps.learn(progress.step, drawn, taken)
        seconds = time.perf_counter() - start
        progress.step, progress.global_step, progress.problems = progress.step + 1, progress.global_step + 1, after
        progress.tokens += learned.tokens + drawn.prompt_tokens + drawn.answer_tokens
        progress.skipped += learned.skipped
        self._record(drawn, learned, taken.lr, (seconds, drawn_s))
        note = self.health.look(progress.step, drawn, silent_share(drawn), learned.measures.get("entropy"))
        if note is not None:
            self._note(note)

    def _step_settings(self) -> StepSettings:
        """A linear warm-up, then constant."""
        settings = self.setup.settings
        warm = min(1.0, (self.progress.step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        return StepSettings(settings.lr * warm, 0.0, settings.bias_update_speed, settings.balance_loss)

    def _record(self, drawn: Drawn, learned: Learned, lr: float, seconds: tuple[float, float]) -> None:
        progress, result = self.progress, learned.result
        record: Record = {
            **self._place(),
            "loss": 0.0 if result is None else result.loss,
            "grad_norm": 0.0 if result is None else result.gradient_norm,
            "lr": lr,
            "seconds_left": seconds[0] * (self.setup.settings.steps - progress.step),
            **step_record(drawn, learned, seconds),
        }
        self._money(record)
        self.samples = self.steps.shown(drawn)
        self._tell(lambda c: c.on_step(record))

    def _place(self) -> Record:
        progress = self.progress
        return {
            "stage": STAGE,
            "step": progress.step,
            "global_step": progress.global_step,
            "tokens": progress.tokens,
        }

    def _evaluate(self) -> None:
        progress = self.progress
        found = self.steps.evaluation(progress.step)
        accuracy = found["accuracy"]
        if progress.evaluated < 0:
            progress.first_accuracy = accuracy
        progress.evaluated, progress.accuracy = progress.step, accuracy
        record: Record = self._place() | evaluation_record(found)
        self._money(record)
        points = 100 * (accuracy - progress.first_accuracy)
        if record.get("cost") is not None and points > 0:
            record["cost_per_point"] = record["cost"] / points
        self._tell(lambda c: c.on_evaluation(record))

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
