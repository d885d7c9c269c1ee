"""What `centime train` does with a recipe that has an [rl] table: the folder, the run, the saved model, the bill."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.files.durable import write_text
from centime.ledger import Book, Meter
from centime.ledger.billing import Bill, bill_of, table_of
from centime.model.adapted.files import write_adapter
from centime.model.checkpoint import save_state
from centime.ops.finite import first_not_finite
from centime.recipe import toml
from centime.recipe.reinforcement import ReinforcementRecipe, read_reinforcement
from centime.train.engine import AdaptedDevice
from centime.train.folder import Checkpoints, RunFolder, newest_good, require_base, versions, weights_in
from centime.train.folder.checkpoints import META
from centime.train.report import write_report
from centime.train.run.callbacks import Callback, MetricsFile, ProgressBar, TensorBoard
from centime.train.run.signals import StopSignals
from centime.tune.reference import restore
from centime.tune.run.journal import Journal
from centime.tune.run.loop import STAGE, TuningEnding, TuningLoop, TuningProgress
from centime.tune.run.setup import TuningSetup

RUNS = Path("runs")  # where a run's folder goes by default


@dataclass(frozen=True)
class TunedRun:
    """How a run of reinforcement ended, and what came of it."""

    folder: RunFolder
    ending: TuningEnding
    progress: TuningProgress
    stopped_by: signal.Signals | None
    report: Path | None
    bill: Bill | None

    @property
    def code(self) -> int:
        """0 when the model is saved, 128 + the signal when one stopped the run."""
        return 0 if self.stopped_by is None else 128 + self.stopped_by

    def as_json(self) -> dict[str, Any]:
        """{run, model, ended, stopped_by, steps, accuracy, first_accuracy, report, bill}: docs/reinforce.md."""
        return {
            "run": str(self.folder.path),
            "model": str(self.folder.result) if self.stopped_by is None else None,
            "ended": self.ending.value,
            "stopped_by": None if self.stopped_by is None else self.stopped_by.name,
            "steps": self.progress.step,
            "accuracy": self.progress.accuracy,
            "first_accuracy": self.progress.first_accuracy,
            "report": None if self.report is None else str(self.report),
            "bill": None if self.bill is None else self.bill.as_json(),
        }


def reinforce(
    recipe: Path, settings: list[str], folder: Path | None, *, resume: bool, budget: str | None, price: str | None
) -> TunedRun:
    """Runs a recipe of reinforcement (a .toml, or the folder of a run to resume) and prints its bill.

    Raises UserError where the user can mend something, a dead run among it.
    """
    if recipe.is_dir():
        folder, recipe = folder or recipe, recipe / "recipe.toml"
    tree = read_reinforcement(recipe, settings)
    run = RunFolder(folder or RUNS / tree.name)
    with run.held():
        _check(run, tree, resume)
        stated = run.read_info().get("budget") if run.begun and budget is None else budget
        setup = TuningSetup(tree, stated, price)
        try:
            return _run(run, setup)
        except UserError:
            if run.metrics.exists():  # it had begun
                _show_bill(run, setup)
            raise
        finally:
            setup.grader.rule.close()


def _check(run: RunFolder, recipe: ReinforcementRecipe, resume: bool) -> None:
    """Raises UserError where another run is here, or this one and nobody asked to go on with it."""
    if not run.begun:
        return
    if not resume:
        raise UserError(
            f"{run.path} already holds a run; continue it with --resume, or give another folder with --out."
        )
    begun = read_reinforcement(run.recipe)
    if begun.model_dump(exclude={"run"}) != recipe.model_dump(exclude={"run"}):
        raise UserError(
            f"{run.path} was begun with another recipe. Resume with its own ({run.recipe}), or give another folder "
            "with --out."
        )


def _run(run: RunFolder, setup: TuningSetup) -> TunedRun:
    before = sorted(run.checkpoints.glob("step-*")) if run.begun else []
    with ExitStack() as stack:
        signals = stack.enter_context(StopSignals())
        book = stack.enter_context(Book())
        progress = _progress(run, setup)
        if not run.begun:
            _begin(run, setup)
        meter = stack.enter_context(
            Meter(book, run=run.path, verb="train", stage="rollout", device=setup.metered, price=setup.price)
        )
        callbacks = _callbacks(run, setup, progress.global_step if before else -1)
        for callback in callbacks:
            stack.callback(callback.close)
        checkpoints = Checkpoints(run.checkpoints, setup.recipe.run.keep, callbacks[1].on_note)
        stack.callback(checkpoints.wait)
        loop = TuningLoop(setup, progress, meter, callbacks, checkpoints, Journal(run.path / "drawn"), signals)
        ending = loop.go()
        _write_samples(run, loop)
        if ending is not TuningEnding.SIGNAL:
            meter.stage("update")
            _save_model(run, setup)
    bill, report = _show_bill(run, setup)
    stopped_by = signal.Signals(signals.received or signal.SIGTERM) if ending is TuningEnding.SIGNAL else None
    say = setup.console.print
    if stopped_by is not None:
        say(f"Stopped by {stopped_by.name} and saved; go on with: centime train {run.path} --resume", markup=False)
    else:
        what = "model" if setup.recipe.lora is None else "adapter"
        say(
            f"Done, for {ending.value}: from {100 * progress.first_accuracy:.1f} to {100 * progress.accuracy:.1f} % of "
            f"{len(setup.held_out)} held-out problems right, after {progress.step} steps. The {what} is in "
            f"{run.result}.",
            markup=False,
        )
    return TunedRun(run, ending, progress, stopped_by, report, bill)


def _progress(run: RunFolder, setup: TuningSetup) -> TuningProgress:
    """Where the run is: at its newest checkpoint, whose weights are set, or at its beginning."""
    found = newest_good(run.checkpoints, lambda text: setup.console.print(text, markup=False)) if run.begun else None
    if found is None:
        return TuningProgress()
    tree = json.loads((found.path / META).read_text(encoding="utf-8"))
    if found.place.rows != setup.problems.fingerprint:
        raise UserError(
            f"The problems of {run.path} have changed since its last checkpoint ({found.place.rows}; now "
            f"{setup.problems.fingerprint}). Put them back as they were, or begin another run with --out."
        )
    if isinstance(setup.engine, AdaptedDevice):
        require_base(found, setup.engine.base)
    setup.engine.load(found.tensors)
    if setup.reference is not None:
        kept = {name.partition("/")[2]: t for name, t in found.tensors.items() if name.startswith("reference/")}
        restore(setup.reference, kept)
    known = {field.name for field in fields(TuningProgress)}
    return TuningProgress(**{key: value for key, value in tree.items() if key in known})


def _begin(run: RunFolder, setup: TuningSetup) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    info = {
        "versions": versions(),
        "device": asdict(setup.metered),
        "precision": str(setup.dtype),
        "budget": setup.budget_text,
    }
    run.write_info(info)
    write_text(run.recipe, toml.dump(setup.recipe))


def _callbacks(run: RunFolder, setup: TuningSetup, step: int) -> list[Callback]:
    found: list[Callback] = [MetricsFile(run.metrics, step), ProgressBar(setup.console)]
    if setup.recipe.run.tensorboard:
        found.append(TensorBoard(run.tensorboard / run.path.resolve().name, step))
    return found


def _write_samples(run: RunFolder, loop: TuningLoop) -> None:
    """The last step's best and worst answer, for the report; a full disk loses them, never the run."""
    lines = [
        {
            "stage": f"{STAGE}, {which} of the last step (reward {one['reward']:.3g}, right: {one['right']})",
            "tokens": loop.progress.tokens,
            "prompt": one["prompt"],
            "text": one["text"],
        }
        for which, one in loop.samples.items()
    ]
    with suppress(OSError):
        write_text(run.samples, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _save_model(run: RunFolder, setup: TuningSetup) -> None:
    """The result as a Hugging Face folder with its tokenizer. Raises UserError where a number is not finite."""
    state = setup.engine.state()
    if (bad := first_not_finite(state)) is not None:
        raise UserError(f"The model is not saved: {bad} has numbers that are not finite. Lower rl.lr.")
    if isinstance(setup.engine, AdaptedDevice):
        made = setup.engine.adapter(str(setup.recipe.start.resolve()))
        write_adapter(run.adapter, made, setup.engine.model.config)
        return
    save_state(setup.engine.model.config, weights_in(state), run.model, setup.tokenizer.folder, setup.dtype)


def _show_bill(run: RunFolder, setup: TuningSetup) -> tuple[Bill | None, Path | None]:
    try:
        with Book() as book:
            made = bill_of(book, str(run.path))
    except UserError:
        return None, None
    setup.console.print(table_of(made), markup=False)
    try:
        report = write_report(run.path, made.as_json())
    except (OSError, UserError) as error:  # a full disk costs the page, not the run
        setup.console.print(f"There is no report: {error}", markup=False)
        return made, None
    setup.console.print(f"The report is {report}, for a browser.", markup=False)
    return made, report
