"""Where a stopped run goes on: its newest good checkpoint, and what its small files say, damaged or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from centime.data.loader import ORDER
from centime.errors import UserError
from centime.files.leftovers import discard
from centime.json_files import kind, read_object
from centime.ops.finite import first_not_finite
from centime.train.engine import MOMENTS, TrainingEngine
from centime.train.folder.checkpoints import META, Checkpoints, checkpoints_in, read, step_of
from centime.train.folder.earlier import REFERENCE, counted
from centime.train.folder.progress import RunProgress
from centime.train.folder.run_folder import RunFolder
from centime.train.stages import StagePlan


@dataclass(frozen=True)
class Place:
    """A checkpoint's state.json: how far the run was, and on which data."""

    progress: RunProgress
    rows: str  # fingerprint of the stage's data


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, whole and finite."""

    path: Path
    tensors: dict[str, Tensor]
    place: Place


def newest_good(folder: Path, tell: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint whose numbers are finite; None where there is none at all.

    One with numbers that are not finite was of no use to anybody: it is deleted, and `tell` hears it. Raises UserError
    for one that is damaged, naming the file and the checkpoint before it, which is used once the damaged one is gone.
    """
    while (path := Checkpoints.newest(folder)) is not None:
        try:
            found = read_checkpoint(path)
        except UserError as error:
            raise UserError(f"{error} {_instead(path)}") from error
        bad = first_not_finite(found.tensors)
        if bad is None:
            return found
        discard(path)
        tell(f"{path} has numbers that are not finite (first in {bad}) and is deleted; the one before it is used.")
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint. Raises UserError naming the file that is damaged."""
    tensors, meta = read(path)
    place = place_of(meta, path / META)
    if place.progress.global_step != step_of(path):
        raise UserError(
            f"{path / META} is of step {place.progress.global_step:,}, not of the one that its folder is named after: "
            "it was copied from another checkpoint, or the folder renamed."
        )
    return Checkpoint(path, tensors, place)


def require_place(found: Checkpoint, stages: Sequence[StagePlan]) -> None:
    """Raises UserError where a checkpoint is at no place of a run of these stages, or its data has changed."""
    where = found.place.progress
    if where.stage >= len(stages) or where.step > stages[where.stage].schedule.steps:
        raise UserError(
            f"{found.path / META} is damaged: it says stage {where.stage}, step {where.step}, which the recipe does "
            f"not have. {_instead(found.path)}"
        )
    if found.place.rows != stages[where.stage].rows.fingerprint:
        raise UserError(
            f"The data of {found.path.parent.parent} has changed since its last checkpoint; a resumed run would repeat "
            "or miss tokens. Put the prepared folder back as it was, or begin another run with --out."
        )


def require_base(found: Checkpoint, base: str) -> None:
    """Raises UserError where the weights that a run's adapters stand beside are not those that they were trained at.

    base: a digest of those there are now.
    """
    if read_object(found.path / META).get("base") != base:
        raise UserError(
            f"The weights beside which {found.path.parent.parent} trains adapters have changed since its last "
            "checkpoint: put them back as they were, or begin another run with --out."
        )


def load_into(engine: TrainingEngine, found: Checkpoint) -> None:
    """Sets the engine to a checkpoint. Raises UserError where it is of another model."""
    try:
        engine.load(found.tensors)
    except (KeyError, RuntimeError) as error:  # a tensor that is not there, or of another shape
        raise UserError(
            f"The checkpoint {found.path} does not fit the recipe ({error}): it is of another run, or damaged. "
            f"{_instead(found.path)}"
        ) from error


def _instead(damaged: Path) -> str:
    folder = damaged.parent
    earlier = [path for path in checkpoints_in(folder) if step_of(path) < step_of(damaged)]
    if not earlier:
        return f"It is the only checkpoint: put it back from a copy, or delete {folder.parent} and begin anew."
    return f"Delete that folder and resume: the one before it, {max(earlier, key=step_of).name}, is used then."


def info_of(run: RunFolder, stages: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """What run.json says of a run of so many stages: `fitted`, `budget` and `finished` are as they should be.

    One that is gone or damaged is made good from the newest checkpoint, which knows how a budget had resized the
    stages, and `tell` hears it. Raises UserError naming the file where no checkpoint does.
    """
    try:
        info = run.read_info()
        factors_in(info, run.info, stages)
        if not isinstance(info.get("budget"), (str, type(None))):
            raise UserError(f"{run.info} is damaged: budget is {_what(info['budget'])}; expected a text or null.")
        return info
    except UserError as error:
        newest = Checkpoints.newest(run.checkpoints)
        try:
            found = factors_in(read_object(newest / META), newest / META, stages) if newest else None
        except UserError:
            found = None
        if found is None:
            raise UserError(f"{error} If the run had no --budget, write {{}} into it instead.") from error
        tell(f"{error} The run goes on as its newest checkpoint says; if it had a budget, give it again.")
        return {"fitted": found}


def order_of(run: RunFolder) -> int:
    """The order of rows that a run was begun with, by its newest checkpoint; any will do before there is one.

    Raises UserError on an order that this version does not know.
    """
    for path in sorted(checkpoints_in(run.checkpoints), key=step_of, reverse=True):
        try:
            found = read_object(path / META).get("order", 1)  # from before there were others
        except UserError:
            continue  # said where it is read
        if found not in range(1, ORDER + 1):
            raise UserError(f"{path / META} names the order {found!r} of rows; known are 1 to {ORDER}. Update centime.")
        return int(found)
    return ORDER


def place_of(tree: dict[str, Any], where: Path) -> Place:
    """What a checkpoint's state.json says. Raises UserError naming the file and what is wrong in it."""
    values: dict[str, Any] = {}
    for field in fields(RunProgress):
        value = tree.get(field.name)
        if field.name == "own":
            values["own"] = _own(tree, where)
            continue
        whole = type(value) is int and value >= 0
        if not (whole or (field.name == "cost" and type(value) is float and math.isfinite(value) and value >= 0)):
            found = _what(value) if field.name in tree else "missing"
            raise UserError(f"{where} is damaged: {field.name} is {found}; expected a count from 0 on.")
        values[field.name] = value
    rows = tree.get("rows")
    if not isinstance(rows, str):
        raise UserError(f"{where} is damaged: rows is {_what(rows)}; expected the fingerprint of the data.")
    return Place(RunProgress(**values), rows)


def _own(tree: dict[str, Any], where: Path) -> dict[str, float]:
    """What a stage's kind has counted; nothing in the checkpoints of earlier versions."""
    found = counted(tree)
    if not isinstance(found, dict) or not all(type(v) in (int, float) and math.isfinite(v) for v in found.values()):
        raise UserError(f"{where} is damaged: own is {_what(found)}; expected numbers by their names.")
    return {key: float(value) for key, value in found.items()}


def factors_in(tree: dict[str, Any], where: Path, stages: int) -> list[float] | None:
    """`fitted` of a run.json or a state.json: each stage's share of its own length; None where it is not stated."""
    found = tree.get("fitted")
    if found is None:
        return None
    if not isinstance(found, list) or not all(type(f) in (int, float) and 0 <= f < math.inf for f in found):
        raise UserError(f"{where} is damaged: fitted is {_what(found)}; expected a list of numbers from 0 on.")
    if len(found) != stages:
        raise UserError(
            f"{where} is damaged: fitted has {len(found)} numbers; expected one for each of {stages} stages."
        )
    return [float(factor) for factor in found]


def _what(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float)) else kind(value)


BESIDE = "beside/"  # before the names of tensors that a stage's own loop keeps with its checkpoints


def beside_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of a checkpoint that are no part of the model or its optimizer, by the names that their stage gave them."""
    own = (BESIDE, REFERENCE)
    return {name.removeprefix(BESIDE): tensor for name, tensor in tensors.items() if name.startswith(own)}


def is_moment(name: str) -> bool:
    """Whether a tensor of an engine's state, by its 'kind/name', is the optimizer's."""
    return name.startswith((*(f"{moment}/" for moment in MOMENTS), "adamw/"))


def moments_fit(state: Mapping[str, Tensor], optimizer: str) -> bool:
    """Whether a state has moments, and they are of this optimizer (adamw or muon)."""
    return any(map(is_moment, state)) and any(name.startswith("momentum/") for name in state) == (optimizer == "muon")
