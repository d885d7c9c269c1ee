"""What `centime train` does around a run: find recipe and folder, run, print the bill."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from centime import recipe as recipes
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import Bill, bill_of, table_of
from centime.train.engine import ranks
from centime.train.folder import RunFolder
from centime.train.kinds import KINDS, StageKind
from centime.train.report import write_report
from centime.train.run.setup import AlreadyFinished, Setup
from centime.train.run.training_run import RunOutcome, TrainingRun

RUNS = Path("runs")  # where a run's folder goes by default


@dataclass(frozen=True)
class TrainedRun:
    """How a run ended, and what came of it: for a program, after a person has read it."""

    outcome: RunOutcome
    model: Path
    report: Path | None
    bill: Bill | None

    @property
    def code(self) -> int:
        """0 when the model is saved, 128 + the signal when one stopped the run."""
        return 0 if self.outcome.signal is None else 128 + self.outcome.signal

    def as_json(self) -> dict[str, Any]:
        """{run, model, stopped_by, saved, report, bill}, and where the last stage was one of reinforcement {accuracy,
        first_accuracy}: docs/train.md names the keys."""
        done = self.outcome.signal is None
        return {
            "run": str(self.outcome.folder),
            "model": str(self.model) if done else None,
            "stopped_by": None if self.outcome.signal is None else self.outcome.signal.name,
            "saved": self.outcome.saved,
            "report": None if self.report is None else str(self.report),
            "bill": None if self.bill is None else self.bill.as_json(),
            **{key: of for key, of in self.outcome.counted.items() if key in ("accuracy", "first_accuracy")},
        }


def train(
    recipe: Path,
    settings: list[str],
    folder: Path | None,
    *,
    resume: bool,
    budget: str | None,
    price: str | None,
    kinds: Mapping[str, StageKind] = KINDS,
) -> TrainedRun:
    """Runs `recipe` (a .toml, or the folder of a run to resume) and prints its bill, all of it on standard error.

    kinds: what the kinds of its stages mean.

    Raises UserError where the user can mend something.
    """
    if recipe.is_dir():
        if not resume:
            raise UserError(
                f"{recipe} is a folder; give a recipe (.toml), or add --resume to go on with the run in it."
            )
        if not (recipe / "recipe.toml").exists():
            raise UserError(
                f"{recipe} holds no run: it has no recipe.toml. Give the folder of a run, or a recipe (.toml)."
            )
        folder, recipe = folder or recipe, recipe / "recipe.toml"
    tree = recipes.read(recipe, settings)
    run = RunFolder(folder or RUNS / tree.name)
    with run.held() if ranks().rank == 0 else nullcontext():
        try:
            setup = Setup(tree, run.path, resume, budget, price, kinds, settings)
        except AlreadyFinished as done:
            print(done, file=sys.stderr)
            return TrainedRun(RunOutcome(run.path, None), run.model, None, None)
        running = TrainingRun(setup)
        try:
            outcome = running.go()
        except UserError:
            if setup.folder.metrics.exists():  # it had begun
                show_bill(setup)
            raise
        except KeyboardInterrupt:
            resume_line = f"go on with: centime train {run.path} --resume" if run.begun else "nothing was begun"
            setup.console.print(f"Stopped at once; {resume_line}", markup=False)
            received = running.signals.received
            if received is None:
                raise
            return TrainedRun(RunOutcome(run.path, signal.Signals(received), saved=False), run.model, None, None)
        try:
            made, report = show_bill(setup)
        except KeyboardInterrupt:  # what was trained is on the disk: only its report is not
            made, report = None, None
            outcome = replace(outcome, signal=outcome.signal or signal.SIGINT)
    if outcome.signal is not None:
        saved = "and saved" if outcome.saved else "without saving its last steps"
        setup.console.print(
            f"Stopped by {outcome.signal.name} {saved}; go on with: centime train {outcome.folder} --resume"
        )
    else:
        what = "model" if setup.recipe.lora is None else "adapter"
        setup.console.print(
            f"The {what} is in {setup.folder.result}; talk to it with: centime generate {setup.folder.result}"
        )
    return TrainedRun(outcome, setup.folder.result, report, made)


def show_bill(setup: Setup) -> tuple[Bill | None, Path | None]:
    """The run's bill as a table, and its report as a page; nothing when nothing was booked."""
    try:
        with Book() as book:
            made = bill_of(book, str(setup.folder.path))
    except UserError:
        return None, None
    report = None
    setup.console.print(table_of(made), markup=False)
    if setup.ranks.rank == 0 and setup.folder.metrics.exists():
        try:
            report = write_report(setup.folder.path, made.as_json())
        except Exception as error:  # a full disk, or damaged files, cost the page, not the run
            setup.console.print(f"There is no report: {error}", markup=False)
        else:
            setup.console.print(f"The report is {report}, for a browser.", markup=False)
    return made, report
