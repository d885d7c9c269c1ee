"""Checkpoints: a folder is whole or absent, written beside the training, rotated, and enough to resume bit by bit."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import gethostname
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from centime.errors import UserError
from centime.files.durable import FULL, sync
from centime.files.folder import sync_all
from centime.files.leftovers import discard, is_abandoned, remove, remove_all_leftovers, unfinished_folder
from centime.json_files import read_object
from centime.model.tensor_files import write_file
from centime.ops.finite import first_not_finite
from centime.units import format_bytes

TENSORS, META = "tensors.safetensors", "state.json"
_EARLIER = re.compile(r"\.partial-(deleted-)?\d{8}-(?P<pid>\d+)")  # how unfinished ones were called once


class Checkpoints:
    """The checkpoints of one run, in `folder`/step-XXXXXXXX.

    keep: how many stay; tell: called, from the writer's thread, with a sentence when a save failed (training goes on
    and the last good checkpoint stays).
    """

    def __init__(self, folder: Path, keep: int, tell: Callable[[str], None]) -> None:
        self.folder, self.keep, self._tell = folder, keep, tell
        self._writer: threading.Thread | None = None
        self._failed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be made ({error.strerror}); free some space or mend its rights."
            ) from error
        remove_all_leftovers(folder)
        for left in folder.glob(".partial-*"):
            if (found := _EARLIER.fullmatch(left.name)) and is_abandoned(left, gethostname(), int(found["pid"])):
                remove(left)

    def save(self, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], wait: bool = False) -> bool:
        """Copies the tensors at once and writes them in a thread; with `wait`, returns when they are on the disk.

        A save that is still being written is waited for first. Returns False if a save waited for has failed.
        """
        good = self.wait()
        if self.path(step).exists():
            return good or wait
        try:
            snapshot = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
            writer = threading.Thread(
                target=self._write, args=(step, snapshot, dict(meta)), name="checkpoint", daemon=True
            )
            writer.start()
            self._writer = writer
        except (MemoryError, RuntimeError) as error:  # no memory for the copy, or for a thread
            self._lost(step, tensors, error)
        return self.wait() if wait else good

    def wait(self) -> bool:
        """Waits for the writer; False if its save failed."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        failed, self._failed = self._failed, False
        return not failed

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Steps of which there is a checkpoint, in order."""
        return sorted(map(step_of, checkpoints_in(self.folder)))

    @staticmethod
    def newest(folder: Path) -> Path | None:
        """The newest whole checkpoint in a folder, None if there is none."""
        return max(checkpoints_in(folder), key=step_of, default=None)

    def _write(self, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        final = self.path(step)
        bad = first_not_finite(tensors)
        if bad is not None:
            self._lost(step, tensors, ArithmeticError(f"{bad.partition('/')[2]} has numbers that are not finite"))
            return
        try:
            with unfinished_folder(final) as partial:
                write_tensors(partial / TENSORS, tensors)
                (partial / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")
                sync_all(partial)
                partial.rename(final)
                sync(self.folder)
        except BaseException as error:  # whatever it was: what is not on the disk must not count as saved
            self._lost(step, tensors, error)
            return
        try:
            self._rotate()
        except OSError as error:
            self._tell(f"Checkpoints before step {step} could not be removed ({error}); training goes on.")

    def _lost(self, step: int, tensors: Mapping[str, Tensor], error: BaseException) -> None:
        """The save of a step has failed: `wait` will say so, and the person is told now."""
        self._failed = True
        size = format_bytes(sum(tensor.nbytes for tensor in tensors.values()))
        earlier = [other for other in self.steps() if other != step]
        last = f"the last good one is {self.path(earlier[-1])}" if earlier else "there is none before it"
        hint = "Free space there or lower run.keep; training goes on."
        if isinstance(error, OSError):
            why = "the disk is full" if error.errno in FULL else str(error.strerror or error)
        elif isinstance(error, ArithmeticError):
            why, hint = str(error), "Lower the stage's lr or optimizer.clip if this goes on."
        elif isinstance(error, MemoryError) or "alloc" in str(error):
            why, hint = "there is no memory for it", "Free memory; training goes on."
        else:
            why, hint = f"{type(error).__name__}: {error}", "That is a fault of centime; training goes on."
        self._tell(f"The checkpoint of step {step} was not saved ({why}; it takes {size}); {last}. {hint}")

    def _rotate(self) -> None:
        """Deletes all but the newest; one into which somebody put a file of theirs stays."""
        for step in self.steps()[: -self.keep]:
            if set(os.listdir(self.path(step))) == {TENSORS, META}:
                discard(self.path(step))


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints in a folder, and nothing that somebody else put beside them."""
    return [path for path in folder.glob("step-*") if re.fullmatch(r"step-[0-9]{8,}", path.name) and path.is_dir()]


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's folder is named after."""
    return int(checkpoint.name.removeprefix("step-"))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and meta of one checkpoint. Raises UserError naming the folder, or its state.json, if it is damaged."""
    try:
        with safe_open(path / TENSORS, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The checkpoint {path} cannot be read ({error}).") from error
    return tensors, read_object(path / META, mend="it is damaged")


def weights_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's weights and buffers by the names that the model has for them."""
    kinds = ("weight/", "buffer/")
    return {name.partition("/")[2]: tensor for name, tensor in tensors.items() if name.startswith(kinds)}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file, streamed tensor by tensor. Raises OSError."""
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    write_file(path, tensors, shapes, tensors.__getitem__)
