"""A folder of safetensors files, read and written one tensor at a time.

Reading goes through the safetensors library, whose tensors are windows on the file. Writing is our own, because the
library wants all tensors of a file in memory at once, and the format is small: a length, a JSON header, the bytes.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from centime.errors import UserError
from centime.json_files import brief, read_object

Stored = tuple[tuple[int, ...], str]  # a tensor's shape, and its type by safetensors' name
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
    torch.float8_e4m3fn: "F8_E4M3", torch.int64: "I64", torch.int32: "I32",
}  # fmt: skip


class TensorFiles:
    """Which tensor lies in which of a folder's safetensors files, sharded or not. Raises UserError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        single, index = folder / SINGLE, folder / INDEX
        if single.exists() or single.is_symlink():
            with self.open(SINGLE) as handle:
                self.file_of: dict[str, str] = dict.fromkeys(handle.keys(), SINGLE)
        elif index.exists() or index.is_symlink():
            self.file_of = _weight_map(index)
        else:
            other = sorted(path.name for pattern in ("*.bin", "*.pth", "*.pt") for path in folder.glob(pattern))
            found = f"it has {other[0]}, which centime does not unpickle; convert it" if other else "it has no weights"
            raise UserError(f"{folder} has neither {SINGLE} nor {INDEX}: {found}.")

    @contextmanager
    def open(self, file: str) -> Iterator[Any]:
        """A safetensors handle on one file."""
        path = self.folder / file
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UserError(f"{path} is no file; a model's weights are files in the safetensors format.")
            path.open("rb").close()  # the library says of one that may not be read that it is not there
        except FileNotFoundError:
            named = f"is named in {INDEX} but" if file != SINGLE else "leads to a file that"
            raise UserError(f"{path} {named} is not there; copy the missing shard.") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None
        try:
            with safe_open(str(path), framework="pt") as handle:
                yield handle
        except SafetensorError as error:
            raise UserError(f"{path} is damaged or incomplete ({error}); copy it again.") from None

    def describe(self) -> dict[str, Stored]:
        """(shape, safetensors dtype) of every tensor, from the files' headers alone."""
        found = {}
        for file, names in self.by_file(self.file_of).items():
            with self.open(file) as handle:
                inside = set(handle.keys())
                for name in names:
                    if name not in inside:
                        raise UserError(f"{INDEX} puts {name} in {self.folder / file}, which does not hold it.")
                    part = handle.get_slice(name)
                    found[name] = (tuple(part.get_shape()), str(part.get_dtype()))
        return found

    def by_file(self, names: Iterable[str]) -> dict[str, list[str]]:
        """`names` grouped by file, so that each is opened once."""
        grouped: dict[str, list[str]] = {}
        for name in names:
            grouped.setdefault(self.file_of[name], []).append(name)
        return grouped


def read_file(path: Path) -> tuple[dict[str, Stored], Callable[[str], Tensor]]:
    """The tensors of one safetensors file: what is there by its header, and what reads one. Raises UserError."""

    def read(name: str) -> Tensor:
        with safe_open(str(path), framework="pt") as handle:
            return handle.get_tensor(name)  # type: ignore[no-any-return]

    try:
        with safe_open(str(path), framework="pt") as handle:
            parts = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
            return {name: (tuple(p.get_shape()), str(p.get_dtype())) for name, p in parts.items()}, read
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or incomplete ({error}); copy it again.") from None


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor names to file names of an index; each a plain name of a file beside it."""
    found = read_object(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise UserError(
            f"{index}: weight_map is {brief(found)}; expected a file name for each tensor, in an object: copy it again."
        )
    for name, file in found.items():
        if not isinstance(file, str) or file != os.path.basename(file) or file in ("", ".", "..") or "\0" in file:
            raise UserError(
                f"{index} puts {name} into {brief(file)}; expected the name of a .safetensors file in the same folder."
            )
    return found


def write_tensors(
    folder: Path,
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]],
    read: Callable[[str], Tensor],
    shard_bytes: int,
) -> None:
    """Writes the named tensors into `folder`, in files of at most `shard_bytes` (a larger tensor gets its own).

    One file is `model.safetensors`; several carry an index. `read(name)` gives each tensor when its turn comes.
    """
    sizes = {name: _elements(shape) * dtype.itemsize for name, (shape, dtype) in shapes.items()}
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    if len(shards) == 1:
        write_file(folder / SINGLE, shards[0], shapes, read)
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_file(folder / file, names, shapes, read)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def write_file(
    path: Path,
    names: Iterable[str],
    shapes: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
    read: Callable[[str], Tensor],
) -> None:
    """Writes the named tensors as one safetensors file, in the types of `shapes`, one at a time. Raises OSError.

    They are read in the order of `names`.
    """
    names = [*names]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end, starts = 0, {}
    for name in sorted(names, key=lambda name: -shapes[name][1].itemsize):  # wide types first: every tensor is aligned
        shape, dtype = shapes[name]
        starts[name] = start = end
        end += _elements(shape) * dtype.itemsize
        header[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.seek(8 + len(text) + starts[name])
            tensor = read(name).detach().to(device="cpu", dtype=shapes[name][1]).contiguous()
            file.write(tensor.view(-1).view(torch.uint8).numpy().data)


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
