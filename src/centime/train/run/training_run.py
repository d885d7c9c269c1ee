"""A whole run: forecast, the stages one after another, the saved model. All of it metered."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from centime.ledger import Book, Meter, life
from centime.train.engine import AdaptedDevice, Trainer, TrainingEngine, deterministic, from_first, group
from centime.train.folder import (
    Checkpoint,
    Checkpoints,
    RunProgress,
    beside_of,
    is_moment,
    load_into,
    newest_good,
    read_checkpoint,
    require_base,
    require_place,
    versions,
)
from centime.train.forecast import measure, peak_bytes, snapshot_bytes
from centime.train.kinds import LiveStage
from centime.train.run.callbacks import Callback
from centime.train.run.clock import RunClock
from centime.train.run.engines import begun_with, engine_for, with_own_loss
from centime.train.run.evaluation import held_out
from centime.train.run.fitted import FittedPlan
from centime.train.run.leavings import callbacks_of, checkpoints_of, sample, save_model
from centime.train.run.loop import StageEnding, StageLoop
from centime.train.run.outlook import Outlook
from centime.train.run.setup import Setup
from centime.train.run.signals import Interrupted, StopSignals
from centime.train.run.yardstick import Yardstick
from centime.train.stages import StagePlan


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended. signal: the one that stopped it, None when it is finished; saved: nothing was lost by it.

    counted: by the kind of its last stage, as RunProgress has it.
    """

    folder: Path
    signal: signal.Signals | None
    saved: bool = True
    counted: Mapping[str, float] = field(default_factory=dict)


class TrainingRun:
    """Runs a setup to its end, or to a signal."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.first = setup.ranks.rank == 0
        self.signals = StopSignals()  # not yet open: a Ctrl-C before that finds that none was received

    def go(self) -> RunOutcome:
        """Trains. Raises UserError when the run stops itself with a diagnosis or the model cannot be saved."""
        setup = self.setup
        self.startup_seconds = life.unmetered_seconds()
        self.began = time.monotonic() - self.startup_seconds
        with ExitStack() as stack:
            # On a CPU a step adds in a fixed order as it is, and the switch would slow some operations.
            on_gpu = setup.device.type == "cuda"
            stack.enter_context(deterministic(setup.recipe.run.deterministic and on_gpu))
            self.yardstick = Yardstick(setup)
            stack.enter_context(group(setup.ranks))
            stack.enter_context(self.signals)
            self.book = stack.enter_context(Book())
            self.meter = stack.enter_context(
                Meter(
                    self.book,
                    run=setup.folder.path,
                    verb="train",
                    stage=setup.stages[0].name,
                    device=replace(setup.metered, peak_flops=self.yardstick.each),
                    price=setup.price,
                )
            )
            return self._train(stack)

    def _train(self, stack: ExitStack) -> RunOutcome:
        setup = self.setup
        found = self._found() if setup.resuming else None
        where = found.place.progress if found else RunProgress()
        self.began -= where.device_ns / 1e9 / setup.ranks.world  # a budget is the whole run's, earlier attempts too
        self.meter.stage(setup.stages[where.stage].name)
        begun = begun_with(setup) if found is None else {}
        engine = engine_for(setup, setup.stages[where.stage], begun, moments=False, timed=True)
        self._base = {"base": engine.base} if isinstance(engine, AdaptedDevice) else {}
        if found and isinstance(engine, AdaptedDevice):
            require_base(found, engine.base)
        self.fitted = self._fitted(engine)
        if not setup.resuming:
            self._begin()
        else:
            if setup.changed:
                setup.say(f"From here on {', '.join(map(str, setup.changed))}.")
            if self.first and (setup.changed or not setup.folder.resolved):
                setup.folder.change(setup.recipe, self._info())
        self.beside = beside_of(found.tensors) if found else {}
        if found:
            load_into(engine, found)
        elif any(map(is_moment, begun)):
            engine.load(begun)
        del found, begun  # as large as the optimizer
        engine = with_own_loss(setup, engine, setup.stages[where.stage])
        callbacks = callbacks_of(setup, where) if self.first else []
        for callback in callbacks:
            stack.callback(callback.close)
        checkpoints = checkpoints_of(setup, callbacks) if self.first else None
        if checkpoints is not None:
            stack.push(_unless_interrupted(checkpoints))
        while True:
            self._refit(where)
            plan = self.fitted.stages[where.stage]
            self.meter.stage(plan.name)
            loop = self._loop(engine, plan, where, callbacks, checkpoints)
            ending = loop.go() if self._enter(engine, plan, where.step) else StageEnding.SIGNAL
            if ending is StageEnding.SIGNAL:
                return RunOutcome(
                    setup.folder.path, signal.Signals(self.signals.received or signal.SIGTERM), loop.saved
                )
            if ending is StageEnding.BUDGET:
                for callback in callbacks:
                    callback.on_note(f"{plan.name} stops at step {where.step}: its share of the budget is spent.")
            if not sample(setup, engine, plan, loop, self.signals):
                saved = checkpoints is None or checkpoints.wait()
                return RunOutcome(setup.folder.path, signal.Signals(self.signals.received or signal.SIGTERM), saved)
            if where.stage + 1 == len(self.fitted.stages):
                break
            where.stage, where.step, where.own = where.stage + 1, 0, {}
            if isinstance(engine, AdaptedDevice):
                plan = self.fitted.stages[where.stage]
                engine.go_on(setup.kinds[plan.stage.kind].objective(engine.model, plan.stage), plan.keep_moments)
                continue
            before = {name: tensor.clone() for name, tensor in engine.state().items()}
            del engine, loop
            plan = self.fitted.stages[where.stage]
            engine = engine_for(setup, plan, before, plan.keep_moments)
            del before
        save_model(setup, engine, plan)
        if self.first:
            with contextlib.suppress(OSError):  # a full disk: the next --resume sees by the checkpoint that it is done
                setup.folder.write_info(self._info() | {"finished": True})
        return RunOutcome(setup.folder.path, None, counted=where.own)

    def _found(self) -> Checkpoint | None:
        """The checkpoint to go on from: the first rank chooses it, every rank reads it."""
        setup = self.setup
        newest = newest_good(setup.folder.checkpoints, setup.say) if self.first else None
        path = from_first(newest.path if newest else None, setup.ranks)
        found = newest if path is None or newest is not None else read_checkpoint(path)
        if found is not None:
            require_place(found, setup.stages)
        return found

    def _loop(
        self,
        engine: TrainingEngine,
        plan: StagePlan,
        where: RunProgress,
        callbacks: list[Callback],
        checkpoints: Checkpoints | None,
    ) -> StageLoop:
        """The loop of the stage that the run is in."""
        setup = self.setup
        made: StageLoop = (setup.kinds[plan.stage.kind].own_loop() or StageLoop)(
            plan=plan,
            trainer=Trainer(engine, setup.micro_batches[where.stage], setup.recipe.optimizer.clip),
            progress=where,
            run=setup.recipe.run,
            meter=self.meter,
            clock=RunClock([stage.seconds for stage in self.fitted.forecast.stages]),
            callbacks=callbacks,
            checkpoints=checkpoints,
            held_out=held_out(setup.recipe, plan),
            also_saved=self._also_saved(),
            signals=self.signals,
            deadline=self.fitted.deadline(where.stage),
            peak_flops=self.yardstick.of_all,
            above_peak=lambda flops_per_s: self.yardstick.above(flops_per_s, self.meter),
            correct=self._correct if not setup.resuming and self._unlike(where.stage) else None,
        )
        return made

    def _unlike(self, stage: int) -> bool:
        """Whether steps of a stage may well take other seconds than those that were timed: of the first, for nothing
        but timing came before it, and of one that draws its answers, which the first one's weights drew."""
        return stage == 0 or bool(self.fitted.costs[stage].beside)

    def _also_saved(self) -> dict[str, Any]:
        """What a checkpoint says of the run as a whole: how a budget resized its stages, and their steps."""
        steps = sum(stage.schedule.steps for stage in self.fitted.stages)
        return {"fitted": self.fitted.factors, "steps": steps, **self._base}

    def _correct(self, loop: StageLoop) -> None:
        """After the first seconds of steps: the forecast by their pace, said and kept, and a budget's rest by it."""
        fitted, stage = self.fitted, loop.progress.stage
        fitted.correct(stage, loop.stepped, loop.stepping_s)
        if fitted.refit(stage, loop.progress.step, loop.stepping_s):
            loop.plan, loop.also_saved = fitted.stages[stage], self._also_saved()
            if self.first:
                self.setup.folder.write_info(self._info())
        loop.clock.planned = [each.seconds for each in fitted.forecast.stages]
        loop.deadline = fitted.deadline(stage)
        if self.first:
            self.outlook.correct(fitted.forecast, loop.stepping_s, loop.plan.name if stage else None)

    def _enter(self, engine: TrainingEngine, plan: StagePlan, step: int) -> bool:
        """What the stage's kind does before it steps; False if a signal has cut it short."""
        try:
            with self._interruptible():
                live = self._live(engine, plan, step, timing=False)
                self.setup.kinds[plan.stage.kind].begin(live)
                self.beside = {}
        except Interrupted:
            return False
        return True

    def _live(self, engine: TrainingEngine, plan: StagePlan, step: int, *, timing: bool) -> LiveStage:
        setup, beside = self.setup, {} if timing else self.beside
        micro_batch = setup.micro_batches[setup.recipe.stages.index((plan.name, plan.stage))]
        return LiveStage(plan, engine, setup.folder.path, step, micro_batch, self.meter, setup.say, timing, beside)

    def _interruptible(self) -> contextlib.AbstractContextManager[None]:
        """What a signal may cut short; with several ranks nothing, as the others would wait for this one."""
        return self.signals.interruptible() if self.setup.ranks.world == 1 else contextlib.nullcontext()

    def _fitted(self, engine: TrainingEngine) -> FittedPlan:
        """The plan, from a few timed steps of each stage's shapes."""
        setup = self.setup
        left = self.began + setup.allowed_seconds - time.monotonic()
        part = min(1.0, setup.allowed_tokens / sum(plan.tokens for plan in setup.stages))
        with self._interruptible():
            lives = [self._live(engine, plan, 0, timing=True) for plan in setup.stages]
            for live in lives:
                setup.kinds[live.plan.stage.kind].begin(live)
            costs = measure(engine, setup.stages, setup.micro_batches, setup.recipe.optimizer.clip, left, part)
            besides = [setup.kinds[live.plan.stage.kind].seconds_beside(live) for live in lives]
            costs = [replace(cost, beside=beside) for cost, beside in zip(costs, besides, strict=True)]
        memory = peak_bytes(setup.device)  # the timed steps have used all but a checkpoint's copy
        if setup.device.type == "cpu":
            memory += snapshot_bytes(setup.recipe.model, setup.recipe.optimizer.name == "muon", setup.recipe.lora)
        costs, memory = from_first((costs, memory), setup.ranks)
        return FittedPlan(setup, costs, memory, self.began)

    def _begin(self) -> None:
        """Fits a new run to its budget, says what it will take, and makes its folder."""
        setup, fitted = self.setup, self.fitted
        fitted.begin()
        if self.first:
            timing = self.meter.spent().device_ns / 1e9
            self.outlook = Outlook(setup, self.book, self.startup_seconds, timing)
            self.outlook.begin(fitted.stages, fitted.forecast, self.yardstick.of_all)
            setup.folder.begin(setup.recipe, self._info())

    def _refit(self, where: RunProgress) -> None:
        """At the start of a later stage: what is left of a budget, over what is left to do."""
        if where.stage and not where.step and self.fitted.refit(where.stage, 0, 0.0) and self.first:
            self.setup.folder.write_info(self._info())

    def _info(self) -> dict[str, Any]:
        """What goes into run.json."""
        setup = self.setup
        return {
            "versions": versions(),
            "device": asdict(setup.metered) | {"peak_flops": self.yardstick.each},
            "ranks": setup.ranks.world,
            "precision": str(setup.dtype).removeprefix("torch."),
            "micro_batches": setup.micro_batches,
            "budget": setup.budget_text,
            "fitted": self.fitted.factors,
            **({"changed": setup.changes} if setup.changes else {}),
        }


def _unless_interrupted(checkpoints: Checkpoints) -> Callable[..., None]:
    """Waits for the checkpoint that is being written, but not for one that a second signal gave up."""

    def leave(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            checkpoints.wait()

    return leave
