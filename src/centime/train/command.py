"""What `centime train` does around a run: find recipe and folder, run, print the bill."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from centime import recipe as recipes
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.bill import bill
from centime.ledger.table import table_of
from centime.train.folder import RunFolder
from centime.train.parallel import ranks
from centime.train.report import write_report
from centime.train.run import TrainingRun
from centime.train.setup import Finished, Setup

RUNS = Path("runs")  # where a run's folder goes by default


def train(
    recipe: Path, settings: list[str], folder: Path | None, *, resume: bool, budget: str | None, price: str | None
) -> int:
    """Runs `recipe` (a .toml, or the folder of a run to resume) and prints its bill; the exit code.

    0 when the model is saved, 128 + the signal when one stopped it. Raises UserError where the user can mend something.
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
            setup = Setup(tree, run.path, resume, budget, price)
        except Finished as done:
            print(done, file=sys.stderr)
            return 0
        try:
            outcome = TrainingRun(setup).go()
        except UserError:
            show_bill(setup)
            raise
        show_bill(setup)
    if outcome.signal is not None:
        saved = "and saved" if outcome.saved else "without saving its last steps"
        setup.console.print(
            f"Stopped by {outcome.signal.name} {saved}; go on with: centime train {outcome.folder} --resume"
        )
        return 128 + outcome.signal
    setup.console.print(f"The model is in {setup.folder.model}; talk to it with: centime generate {setup.folder.model}")
    return 0


def show_bill(setup: Setup) -> None:
    """The run's bill as a table, and its report as a page; nothing when nothing was booked."""
    try:
        with Book() as book:
            made = bill(book, str(setup.folder.path))
    except UserError:
        return
    setup.console.print(table_of(made), markup=False)
    if setup.ranks.rank == 0 and setup.folder.metrics.exists():
        try:
            report = write_report(setup.folder.path, made.as_json())
        except Exception as error:  # a full disk, or damaged files, cost the page, not the run
            setup.console.print(f"There is no report: {error}", markup=False)
        else:
            setup.console.print(f"The report is {report}, for a browser.", markup=False)
