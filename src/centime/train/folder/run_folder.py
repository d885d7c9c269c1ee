"""The run folder: what was asked, with which versions, what came of it.

recipe.toml     the resolved recipe, every default visible
run.json        versions, device, git revision, and how a budget resized the stages
metrics.jsonl   a line a step and a line an evaluation
checkpoints/    what `--resume` continues from
tensorboard/    the same figures for TensorBoard
reference/      of a dpo stage: what the model made of its pairs before it
samples.jsonl   what the model wrote at the end of each stage
report.html     the run as a page, with its bill
model/          the result: a Hugging Face folder with its tokenizer
adapter/        or of a run with [lora]: an adapter in PEFT's format
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import safetensors
import tokenizers
import torch

import centime
from centime import recipe as recipes
from centime.errors import UserError
from centime.files.durable import FULL, made_folders, write_text
from centime.files.folder import require_replaceable
from centime.files.lock import INSIDE, FolderLock
from centime.json_files import read_object
from centime.model.adapted.files import ADAPTER
from centime.model.checkpoint import MODEL
from centime.recipe import Recipe
from centime.train.folder.changes import RecipeChange, changes
from centime.train.folder.earlier import completed, resolved


class RunFolder:
    """A run's folder, made anew or found again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe, self.info = path / "recipe.toml", path / "run.json"
        self.metrics, self.checkpoints, self.model = path / "metrics.jsonl", path / "checkpoints", path / "model"
        self.tensorboard, self.samples = path / "tensorboard", path / "samples.jsonl"
        self.report, self.adapter = path / "report.html", path / "adapter"

    @property
    def begun(self) -> bool:
        """Whether a run lives here already; a recipe alone may be anybody's."""
        return self.recipe.exists() and (self.info.exists() or self.checkpoints.exists())

    @property
    def result(self) -> Path:
        """What came of it, or will: the adapter where one is there, else the model."""
        return self.adapter if (self.adapter / "adapter_config.json").exists() else self.model

    @property
    def finished(self) -> bool:
        """Whether its result is there, a model or an adapter."""
        return (self.model / "config.json").exists() or (self.adapter / "adapter_config.json").exists()

    @property
    def resolved(self) -> bool:
        """Whether recipe.toml says all that follows from tokenizer and weights: of a run that has begun."""
        return resolved(recipes.read(self.recipe))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps every other writer out meanwhile; the folder, if it had to be made, goes again if nothing came into it.

        Raises UserError when another process writes here, or nobody may.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give a folder for the run with --out.")
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(made_folders(self.path))
                hint = "wait until that run is done, or give another folder with --out"
                stack.enter_context(FolderLock(self.path / INSIDE, self.path, hint))
            except OSError as error:
                raise _unwritable(self.path, error) from error
            yield

    def check(self, recipe: Recipe, resume: bool, settings: Sequence[str] = ()) -> list[RecipeChange]:
        """Refuses to mix two runs: raises UserError when one is here and `resume` is not asked, or it differs.

        settings: the --set of a resume. Returns what it changes that may change.
        """
        if self.begun and not resume:
            raise UserError(
                f"{self.path} already holds a run; continue it with --resume, or give another folder with --out."
            )
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give a folder for the run with --out.")
        if not self.begun and (other := self._others()) is not None:
            raise UserError(
                f"{self.path} holds {other.name}, which no run of centime wrote and a run would write over; give "
                "another folder with --out."
            )
        if self.begun:
            self._require_kinds()
            for result, kind in ((self.model, MODEL), (self.adapter, ADAPTER)):
                require_replaceable(result, kind, place="folder for the run")  # now, not when it is trained
            own = recipes.read(self.recipe)
            found = changes(own if resolved(own) else completed(own, recipe), recipe)
            changed = [change.key for change in found if not change.meant(settings)]
            if changed:
                more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
                differ = "differs" if len(changed) == 1 else "differ"
                raise UserError(
                    f"{self.path} was begun with another recipe: {', '.join(changed[:5])}{more} {differ}. Resume with "
                    f"its own recipe ({self.recipe}), or give another folder with --out. Learning rates, their "
                    "schedules and the weights of losses alone may change, by --set."
                )
            return found
        return []

    def begin(self, recipe: Recipe, info: dict[str, Any]) -> None:
        """Makes the folder and writes recipe.toml and run.json."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_info(info)
            write_text(self.recipe, recipes.write(recipe))
        except (OSError, UserError) as error:
            for path in (self.info, self.recipe):  # `check` has seen that neither was there: nothing is left
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise error if isinstance(error, UserError) else _unwritable(self.path, error) from error

    def change(self, recipe: Recipe, info: dict[str, Any]) -> None:
        """Writes recipe.toml anew, as a resume has changed it, and run.json with what it changed."""
        try:
            write_text(self.recipe, recipes.write(recipe))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.write_info(info)

    def _require_kinds(self) -> None:
        """Refuses a run where a folder, a pipe or a link to nothing has the name of one of its files."""
        files, folders = (self.metrics, self.samples, self.report), (self.checkpoints, self.tensorboard)
        for path in filter(os.path.lexists, (*files, *folders)):
            if not (path.is_file() if path in files else path.is_dir()):
                expected = "file" if path in files else "folder"
                raise UserError(
                    f"{path} is no {expected}, as `centime train` makes it; move it elsewhere, then --resume."
                )

    def _others(self) -> Path | None:
        """What has a name that a run writes under, and is not the run.json of one that was killed as it began."""
        written = (
            *(self.recipe, self.metrics, self.checkpoints, self.model, self.adapter),
            *(self.tensorboard, self.samples, self.report),
        )
        found = next((path for path in written if os.path.lexists(path)), None)
        if found is None and os.path.lexists(self.info):
            try:
                ours = "centime" in self.read_info()["versions"]
            except (UserError, KeyError, TypeError):
                ours = False
            found = None if ours else self.info
        return found

    def write_info(self, info: dict[str, Any]) -> None:
        """run.json, whole or not at all. Raises UserError where it cannot be written."""
        try:
            write_text(self.info, json.dumps(info, indent=1) + "\n")
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def read_info(self) -> dict[str, Any]:
        """run.json of a run that has begun. Raises UserError naming it where it is damaged or gone."""
        return read_object(self.info, mend="put it back from a copy")


def versions() -> dict[str, str | None]:
    """What the run was made with."""
    return {
        "centime": centime.__version__,
        "git_revision": git_revision(),
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "numpy": str(numpy.__version__),
        "tokenizers": str(tokenizers.__version__),
        "safetensors": str(safetensors.__version__),
        "platform": platform.platform(),
    }


def git_revision() -> str | None:
    """Revision of the source tree that is running, with '+changes' where it differs from it; None outside of git."""
    here = Path(__file__).resolve().parent
    try:
        revision = _git(here, "rev-parse", "HEAD")
        return revision + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()


def _unwritable(folder: Path, error: OSError) -> UserError:
    free = "free some space there, or " if error.errno in FULL else ""
    return UserError(f"The run folder {folder} cannot be written ({error.strerror}); {free}give another with --out.")
