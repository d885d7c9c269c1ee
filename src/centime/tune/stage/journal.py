"""What was drawn and graded since the last checkpoint, on the disk before it is booked: no sample is graded twice.

A run that is killed goes on from its checkpoint and takes the steps after it again, from the answers and grades that
are written here; only what was not yet written is drawn anew. Floats are written so that they are read back to the bit.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.files.durable import write_text
from centime.json_files import read_object
from centime.tune.groups import Drawn, Group, Sample
from centime.tune.problems import Problem
from centime.tune.rewards import Grade


class Journal:
    """One file a step in `folder`, kept until a checkpoint makes it needless."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for earlier in folder.parent.glob("*-????????.json"):  # of runs that were one stage, as they once kept them
            folder.mkdir(exist_ok=True)
            earlier.rename(folder / earlier.name)

    def write(self, step: int, drawn: Drawn, after: int) -> None:
        """Keeps a step's groups, and the number of the first problem after them. Raises UserError on a full disk."""
        self._keep(self._path(step), asdict(drawn) | {"after": after})

    def write_evaluation(self, step: int, found: dict[str, float]) -> None:
        """Keeps what an evaluation found. Raises UserError on a full disk."""
        self._keep(self._path(step, "evaluation"), found)

    def _keep(self, path: Path, tree: dict[str, Any]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(tree, default=dict))
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror}); free some space, then use --resume: the "
                "run goes on from its last checkpoint."
            ) from error

    def read(self, step: int) -> tuple[Drawn, int] | None:
        """The same again, or None where the step was not written, or not wholly."""
        if not self._path(step).is_file():
            return None
        try:
            return _drawn(read_object(self._path(step)))
        except (UserError, KeyError, TypeError, ValueError):  # of another version, or edited: it is drawn anew
            return None

    def read_evaluation(self, step: int) -> dict[str, float] | None:
        """The same again, or None where there is none."""
        path = self._path(step, "evaluation")
        try:
            return {key: float(value) for key, value in read_object(path).items()} if path.is_file() else None
        except (UserError, TypeError, ValueError):
            return None

    def forget(self, before: int) -> None:
        """Deletes the steps under `before`: a checkpoint of that one knows what came of them."""
        for path in self._folder.glob("*-*.json"):
            number = path.stem.rpartition("-")[2]
            if number.isdigit() and int(number) < before:
                path.unlink(missing_ok=True)

    def _path(self, step: int, kind: str = "step") -> Path:
        return self._folder / f"{kind}-{step:08d}.json"


def _drawn(tree: dict[str, Any]) -> tuple[Drawn, int]:
    after = int(tree.pop("after"))
    groups = [
        Group(
            Problem(**group["problem"]),
            group["prompt"],
            [Sample(**(sample | {"grade": Grade(**sample["grade"])})) for sample in group["samples"]],
        )
        for group in tree.pop("groups")
    ]
    return Drawn(groups, **tree), after
