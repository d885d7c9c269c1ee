"""A model's folder as one with quantised matrices, read and written one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centime.catalogue.hf import model_folder
from centime.errors import UserError
from centime.model.checkpoint import TOKENIZER_FILES, Weights, save_weights
from centime.model.folder import StoredModel
from centime.model.names import Slot
from centime.model.quantised.layout import fits, pattern
from centime.ops.fp8 import BLOCK
from centime.ops.quantised import GROUP, KINDS, quantise

PLAIN = "bf16"
FORMATS = (*KINDS, PLAIN)


@dataclass(frozen=True)
class Formats:
    """Which of FORMATS a model's matrices get, by what they are for. Vectors, router and embedding are PLAIN in any.

    Raises UserError for one that is none.
    """

    most: str
    experts: str | None = None  # routed ones; None: as most
    attention: str | None = None
    head: str = PLAIN

    def __post_init__(self) -> None:
        for name in (self.most, self.experts, self.attention, self.head):
            if name is not None and name not in FORMATS:
                raise UserError(f"{name!r} is no format of weights; choose one of {', '.join(FORMATS)}.")

    def of(self, name: str) -> str:
        """The format of one of the model's tensors, by the model's own name for it."""
        if name == "embed.weight" or "norm" in name or ".router." in name or name.endswith(".bias"):
            return PLAIN
        if name == "head.weight":
            return self.head
        own = self.experts if ".experts." in name else self.attention if ".attention." in name else None
        return own or self.most


Progress = Callable[[int, int], None]


def quantise_folder(
    source: Path,
    out: Path,
    formats: Formats,
    progress: Progress = lambda done, total: None,
    importance: Mapping[str, Tensor] | None = None,
) -> list[str]:
    """Writes the model in `source` to the folder `out` with matrices in `formats`, all or nothing.

    `progress` hears numbers of the model, done and in all. `importance` is what `calibrate` measured. The result is in
    compressed-tensors' format, with the tokenizer of `source`. Returns notes for a person. Raises UserError for a
    damaged model, and where `out` cannot be written.
    """
    folder = model_folder(source)
    stored = StoredModel(folder)
    kinds = {name: formats.of(name) for name in stored.shapes() if formats.of(name) != PLAIN}
    dtype = torch.float16 if stored.dtype == torch.float16 else torch.bfloat16
    others = {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}
    with _Reading(stored, formats, progress, importance or {}) as read:
        save_weights(Weights(stored.config, dtype, read, kinds, BLOCK), out, others, inputs=[*folder.iterdir()])
    return read.notes


class _Reading(ExitStack):
    """Tensors of a stored model as they are to be written, each asked for by its slot; one file is open at a time."""

    def __init__(
        self, stored: StoredModel, formats: Formats, progress: Progress, importance: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self._importance = importance
        self._stored, self._formats, self._progress = stored, formats, progress
        self._file, self._handle, self._shapes = "", None, stored.shapes()
        self._whole = {slot.ours: name for name, slot in stored.wanted.items() if not slot.index}
        self._done, self._total = 0, sum(shape.numel() for shape in self._shapes.values())
        self.notes: list[str] = []

    def __call__(self, slot: Slot) -> Tensor:
        name = slot.disk if slot.disk in self._stored.wanted else self._whole[slot.ours]  # of a stack, or of a copy
        get = self._stored.getter(*self._open(name))
        kind, matrix = self._formats.of(slot.ours), self._stored.matrices.get(name)
        if matrix is not None and matrix.kind == kind and (kind != "fp8" or matrix.rows == BLOCK):
            self._count(matrix.shape[0] * matrix.shape[1])
            return matrix.read(get, kind)
        if name.endswith("_proj"):  # all experts in one: the others are not looked at
            plain = get(name).view(self._shapes[slot.ours])[slot.index]
        else:
            plain = self._stored.plain(name, get)
        self._count(plain.numel())
        if kind == PLAIN:
            return plain
        if not fits(plain.shape[-1], kind):
            self._note(slot.disk, plain.shape[-1])
            return plain
        return quantise(plain, kind, importance=self._of_inputs(slot))

    def _of_inputs(self, slot: Slot) -> Tensor | None:
        """What the inputs of a matrix count; of an expert's, its own."""
        found = self._importance.get(slot.ours)
        return found[slot.index[0]] if found is not None and found.dim() > 1 else found

    def _open(self, name: str) -> tuple[str, Any]:
        file = self._stored.files.file_of[name]
        if file != self._file:
            self.close()
            self._file, self._handle = file, self.enter_context(self._stored.files.open(file))
        return file, self._handle

    def _count(self, numbers: int) -> None:
        self._done += numbers
        self._progress(min(self._done, self._total), self._total)

    def _note(self, name: str, inputs: int) -> None:
        note = f"{pattern(name)} stays {PLAIN}: its {inputs:,} inputs are no multiple of {GROUP}."
        if note not in self.notes:
            self.notes.append(note)
