"""One stage's loop: steps, records, evaluations and checkpoints; leaves on a signal or the budget."""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from centime.errors import UserError
from centime.ledger import Meter
from centime.recipe import RunSection
from centime.train.engine import LossShare, StepResult, Trainer, diagnose, imbalance
from centime.train.folder import Checkpoints, RunProgress
from centime.train.run.callbacks import Callback, Record
from centime.train.run.clock import RunClock
from centime.train.run.evaluation import HeldOut, bits_per_byte
from centime.train.run.signals import Interrupted, StopSignals
from centime.train.stages import Batch, StagePlan, StageRows, StepSettings

LOAD_RECORDS = 160  # steps of a stage whose expert loads go to metrics.jsonl: as many columns as a picture has
CORRECT_AFTER_S = 10.0  # seconds of steps after which the forecast is corrected, once
LONG_STEP_S = 1.0  # a step of more is cut short by a signal: its gradient is lost, and nothing else


class StageEnding(enum.Enum):
    """Why a stage's loop ended."""

    FINISHED = 0
    SIGNAL = 1
    BUDGET = 2


def part_of(tokens: int, rank: int, world: int) -> int:
    """What one rank books of a step's tokens: whole numbers that differ by one at most and add up to all of them."""
    return tokens * (rank + 1) // world - tokens * rank // world


@dataclass
class StageLoop:
    """Runs the steps of one stage on a trainer."""

    plan: StagePlan
    trainer: Trainer
    progress: RunProgress
    run: RunSection
    meter: Meter
    clock: RunClock
    callbacks: Sequence[Callback]
    checkpoints: Checkpoints | None  # None on every rank but the first
    held_out: HeldOut | None
    also_saved: Mapping[str, Any]  # with the checkpoints: the run's steps, and how a budget resized its stages
    signals: StopSignals
    deadline: float  # time.monotonic() at which the stage's share of the budget is spent
    peak_flops: float | None  # of all devices
    above_peak: Callable[[float], float] | None = None  # of a step's FLOP/s above the peak: a new peak
    correct: Callable[[StageLoop], None] | None = None  # called once, after CORRECT_AFTER_S of steps
    stepped: int = 0  # steps done by this loop
    stepping_s: float = 0.0  # and the seconds they took, records included, evaluations and checkpoints left out
    samples: list[Record] = field(default_factory=list)  # {stage, prompt, text}: what its last step shows of the model
    rows: StageRows = field(init=False)  # of the stage, as this rank takes them
    saved: bool = True  # whether the checkpoint that was waited for last is on the disk

    def go(self) -> StageEnding:
        """From progress.step to the stage's end, or to a signal or the deadline; saves on leaving.

        Raises UserError, after a few steps in a row that were not finite, with a diagnosis.
        """
        progress, ending = self.progress, StageEnding.FINISHED
        self.clock.enter(progress.stage, self.plan.schedule.steps, progress.step)
        self._begin()
        self.trainer.before_update = self.signals.hold
        step_s = self.clock.planned[progress.stage] / self.plan.schedule.steps
        try:
            while True:
                with self._interruptible(True):
                    self._evaluate_if_due()
                if self._over() and ending is not StageEnding.SIGNAL:
                    return StageEnding.FINISHED
                if ending is not StageEnding.FINISHED:
                    return ending
                step_s = self._step(step_s > LONG_STEP_S)
                ending, due = self._asked()
                if due and ending is StageEnding.FINISHED and not self._over():
                    self._correct()
                last = self._over() or ending is not StageEnding.FINISHED
                if last or progress.step % self.run.checkpoint_every == 0:
                    self.saved = self.save(wait=ending is StageEnding.SIGNAL)
        except Interrupted:  # in an evaluation, or in a step before the weights changed
            self.saved = self.save(wait=True)
            return StageEnding.SIGNAL

    def _over(self) -> bool:
        """Whether the stage has come to its end."""
        return self.progress.step == self.plan.schedule.steps

    def _begin(self) -> None:
        """Takes up the stage as it is planned."""
        self.rows = self.plan.steps(self.trainer.engine.rank, self._world)
        self.clock.steps = self.plan.schedule.steps
        self._tell(lambda c: c.on_stage(self.plan.name, self.plan.schedule.steps, self.progress.step))

    def _step(self, long: bool) -> float:
        """One step, counted and recorded; the seconds that the trainer took. A signal may cut a `long` one short."""
        progress, world, start = self.progress, self._world, time.perf_counter()
        batch, settings = self.rows.batch(progress.step), self.plan.schedule.settings(progress.step)
        if self.plan.lora is not None and self.plan.lora.dropout:
            torch.manual_seed(progress.global_step)  # what is left out is a function of the place, as rows are
        with self._interruptible(long):
            result = self.trainer.step(batch, settings)
        seconds = time.perf_counter() - start
        flops = batch.tokens * self.plan.flops_per_token
        self.meter.add(tokens=part_of(batch.tokens, self.trainer.engine.rank, world), flops=flops / world)
        progress.step, progress.global_step = progress.step + 1, progress.global_step + 1
        progress.tokens += batch.tokens
        self._record(result, settings, batch, flops, seconds)
        self.stepped, self.stepping_s = self.stepped + 1, self.stepping_s + time.perf_counter() - start
        if result.skipped:
            self._skipped(batch, settings)
        else:
            progress.skipped_in_a_row = 0
        return seconds

    def _correct(self) -> None:
        """Once: the forecast by the pace of the steps so far, and a stage of another length where a budget asks it."""
        if self.correct is not None:
            planned, correct = self.plan, self.correct
            self.correct = None
            correct(self)
            if self.plan is not planned:
                self._begin()

    def _interruptible(self, wanted: bool) -> contextlib.AbstractContextManager[None]:
        """What a signal may cut short; with several ranks nothing, as the others would wait for this one."""
        return self.signals.interruptible() if wanted and self._world == 1 else contextlib.nullcontext()

    def save(self, wait: bool) -> bool:
        """A checkpoint of now; every rank calls it. False if a save that was waited for has failed."""
        state = {**self.trainer.engine.state(), **self._beside()}
        if self.checkpoints is None:
            return True
        spent = self.meter.spent()
        meta = asdict(self.progress) | {"rows": self.plan.rows.fingerprint, "order": self.plan.order, **self.also_saved}
        meta["device_ns"] += spent.device_ns * self._world
        meta["cost"] += (spent.cost or 0.0) * self._world
        return self.checkpoints.save(self.progress.global_step, state, meta, wait)

    def _beside(self) -> Mapping[str, torch.Tensor]:
        """What a checkpoint holds beside the engine's state, by names that begin with BESIDE."""
        return {}

    @property
    def _world(self) -> int:
        return self.trainer.engine.world

    def _record(self, result: StepResult, settings: StepSettings, batch: Batch, flops: float, seconds: float) -> None:
        if not self.callbacks:
            return
        progress, plan = self.progress, self.plan
        spent = self.meter.spent()
        left = self.clock.seconds_left(progress.step)
        record: dict[str, Any] = {
            "stage": plan.name,
            "step": progress.step,
            "global_step": progress.global_step,
            "tokens": progress.tokens,
            "loss": result.loss + settings.mtp_weight * result.mtp_loss + settings.balance_weight * result.balance_loss,
            "main_loss": result.loss,
            "grad_norm": result.gradient_norm,
            "lr": settings.lr,
            "seconds": seconds,
            "tokens_per_s": batch.tokens / seconds,
            "seconds_left": left,
            **result.measures,
            **batch.notes,
        }
        if plan.bytes_per_token is not None:
            record["bits_per_byte"] = bits_per_byte(result.loss, plan.bytes_per_token)
        if plan.config.num_nextn_predict_layers and settings.mtp_weight:
            record["mtp_loss"] = result.mtp_loss
        if self.peak_flops and flops / seconds > self.peak_flops and self.above_peak is not None:
            self.peak_flops = self.above_peak(flops / seconds)
        if self.peak_flops:
            record["mfu"] = flops / seconds / self.peak_flops
        if result.loads.sum():
            record["max_violation"] = imbalance(result.loads)
            record["balance_loss"] = result.balance_loss
            if (progress.step - 1) % max(1, plan.schedule.steps // LOAD_RECORDS) == 0:
                record["expert_load"] = result.loads.tolist()
        if spent.cost is not None:
            record["cost"] = progress.cost + spent.cost * self._world
            a_second = 1e9 * spent.cost / max(spent.device_ns, 1)
            record["projected_cost"] = record["cost"] + a_second * left * self._world
            record["currency"] = spent.currency
        if result.skipped:
            record["skipped"] = True
        self._tell(lambda c: c.on_step(record))

    def _skipped(self, batch: Batch, settings: StepSettings) -> None:
        """Counts a step that was not finite, and stops the run after too many in a row."""
        progress = self.progress
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        first = int(self.plan.schedule.first_row[progress.step - 1])
        where = f"{self.plan.name} step {progress.step} (rows {first} to {first + batch.sequences - 1})"
        self._tell(lambda c: c.on_note(f"{where}: the loss or the gradient is not finite; nothing was updated."))
        if progress.skipped_in_a_row < self.run.nonfinite_limit:
            return
        share = LossShare(batch.loss_tokens, batch.sequences, settings.mtp_weight, settings.balance_weight)
        cause = diagnose(self.trainer.engine, next(self.trainer.micro_batches(batch)), share)
        saved = (
            f"the last good checkpoint is of step {self.checkpoints.steps()[-1]}"
            if self.checkpoints and self.checkpoints.steps()
            else "no checkpoint was made yet"
        )
        raise UserError(
            f"{progress.skipped_in_a_row} steps in a row were not finite, the last one {where}: {cause}. "
            f"Lower the stage's lr (now {settings.lr:.3g}) or optimizer.clip, lengthen warmup_steps, or try "
            f"run.precision = fp32; {saved}."
        )

    def _evaluate_if_due(self) -> None:
        """After a checkpoint, never before it: what was trained is safe if the evaluation fails."""
        progress = self.progress
        last = progress.step == self.plan.schedule.steps
        if self.held_out is None or not progress.step or not (last or progress.step % self.run.evaluate_every == 0):
            return
        found = self.held_out.evaluate(self.trainer, final=last)
        record = {
            "stage": self.plan.name,
            "step": progress.step,
            "global_step": progress.global_step,
            "tokens": progress.tokens,
            "eval_loss": found.loss,
            "eval_bits_per_byte": found.bits_per_byte,
            "eval_tokens": found.tokens,
        }
        self._tell(lambda c: c.on_evaluation(record))

    def _asked(self) -> tuple[StageEnding, bool]:
        """(whether to stop, whether to correct the forecast), the same on every rank; a signal beats the budget."""
        said = [
            self.signals.received is not None,
            time.monotonic() > self.deadline,
            self.stepping_s >= CORRECT_AFTER_S,
        ]
        votes = torch.tensor(said, dtype=torch.int64)
        self.trainer.engine.all_reduce(votes)
        signalled, overdue, due = votes.tolist()
        return StageEnding.SIGNAL if signalled else StageEnding.BUDGET if overdue else StageEnding.FINISHED, bool(due)

    def _tell(self, say: Callable[[Callback], None]) -> None:
        for callback in self.callbacks:
            say(callback)
