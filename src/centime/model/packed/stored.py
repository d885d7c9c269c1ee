"""Packed weights as one file: written as they stand in memory, and read back without a computation.

    MAGIC, bytes of the header (8, little endian), its digest, the header (JSON), tensors

Each tensor begins at a multiple of PAGE and has a sum for every CHUNK of it: the exclusive or of its words, which any
changed bit changes and which takes no longer than reading. They are read into large pages and not mapped: a processor
reads those faster in every step (ops/large_pages.py), and what is in memory no longer depends on the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig
from centime.model.attention import MultiHeadLatentAttention
from centime.model.decoder import Transformer
from centime.model.linear import Linear
from centime.model.packed.weights import is_in_panels, replace_layers
from centime.ops.large_pages import Arena
from centime.ops.latent.absorbed import HeadMatrices
from centime.ops.panels import Panels, library_of_panels, use_torch_threads

LAYOUT = 1  # another one wherever `pack_weights` or this file's form changes
MAGIC = b"centime packed\n"
DIGEST_BYTES = 16
PAGE = 4096
CHUNK = 8 << 20
READERS = 4  # threads that wait for a disk; beyond, neither a disk nor memory gives more
BLOCK = 256  # bytes that the kernels' sum takes at a time

_memory = Arena()


class Damaged(Exception):
    """The file is not what was written, in a sentence's end."""


@dataclass(frozen=True)
class Entry:
    """A tensor: its type by torch's name, its shape; of panels what `Panels` knows beside, else kind is empty."""

    name: str
    dtype: str
    shape: list[int]
    kind: str
    outputs: int
    inputs: int
    gated: bool
    offset: int  # from where tensors begin
    sums: list[int]


def save_packed(model: Transformer, path: Path, source: str) -> bool:
    """Writes the weights of `model` to `path`; False, and no file, where some of them are not in panels.

    source: what they were made from, for `source_of`. Raises OSError.
    """
    if not is_in_panels(model):
        return False
    use_torch_threads()
    tensors = dict(_tensors(model))
    entries, offset = [], 0
    for name, tensor in tensors.items():
        entries.append(_entry(name, tensor, offset))
        offset += -(-tensor.nbytes // PAGE) * PAGE
    known = {
        "source": source,
        "config": model.config.model_dump(mode="json"),
        "tensors": [asdict(entry) for entry in entries],
    }
    header = json.dumps(known).encode()
    with path.open("wb") as file:
        file.write(MAGIC + len(header).to_bytes(8, "little") + _digest(header) + header)
        start = _aligned(file.tell())
        for entry, tensor in zip(entries, tensors.values(), strict=True):
            file.seek(start + entry.offset)
            file.write(_raw(tensor))
        file.truncate(start + offset)
    return True


def source_of(path: Path) -> str | None:
    """What the weights in the file at `path` were made from; None where it is no such file."""
    try:
        with path.open("rb") as file:
            return str(_header(file)[0]["source"])
    except (OSError, Damaged, KeyError):
        return None


def load_packed(path: Path) -> Transformer:
    """The model that was saved, with its weights in large pages. Raises Damaged, and OSError."""
    use_torch_threads()
    with path.open("rb") as file:
        known, start = _header(file)
        entries = [Entry(**entry) for entry in known["tensors"]]
        end = max((entry.offset + -(-_bytes(entry) // PAGE) * PAGE for entry in entries), default=0)
        if os.fstat(file.fileno()).st_size != start + end:
            raise Damaged("it was cut short")
        tensors = {entry.name: _memory.empty(tuple(entry.shape), _dtype(entry)) for entry in entries}
        with ThreadPoolExecutor(READERS) as several:
            pieces = [(file.fileno(), start + entry.offset, entry, tensors[entry.name]) for entry in entries]
            list(several.map(_fill, *zip(*_chunks(pieces), strict=True)))
    with torch.device("meta"):
        model = Transformer(ModelConfig.model_validate(known["config"]))
    for entry in entries:
        _put(model, entry, tensors[entry.name])
    replace_layers(model)
    return model.eval()


def _tensors(model: Transformer) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer, and what attention keeps by heads, by name."""
    yield from model.named_parameters()
    yield from model.named_buffers()
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadLatentAttention):
            assert module.by_heads is not None
            yield from zip((f"{name}.by_heads.0", f"{name}.by_heads.1"), module.by_heads, strict=True)


def _put(model: Transformer, entry: Entry, tensor: Tensor) -> None:
    where, _, leaf = entry.name.rpartition(".")
    weight: Tensor = tensor
    if entry.kind:
        weight = Panels(tensor, entry.kind, (entry.outputs, entry.inputs), gated=entry.gated)
    if where.endswith(".by_heads"):
        attention = model.get_submodule(where.removesuffix(".by_heads"))
        assert isinstance(attention, MultiHeadLatentAttention)
        first = attention.by_heads[0] if attention.by_heads else weight  # entries come in order
        attention.by_heads = HeadMatrices(first, weight)
        return
    if where == "head" and model.head is None:  # a tied one, of which packing makes a copy
        model.head = Linear(0, 0)
    module = model.get_submodule(where)
    if leaf in module._buffers:
        module._buffers[leaf] = weight
    else:
        setattr(module, leaf, weight if entry.kind else nn.Parameter(weight, requires_grad=False))


def _entry(name: str, tensor: Tensor, offset: int) -> Entry:
    of = (tensor.kind, tensor.outputs, tensor.inputs, tensor.gated) if isinstance(tensor, Panels) else ("", 0, 0, False)
    raw = _raw(tensor)
    sums = [_sum(raw[first : first + CHUNK]) for first in range(0, len(raw), CHUNK)]
    return Entry(name, str(tensor.dtype).removeprefix("torch."), [*tensor.shape], *of, offset, sums)


def _header(file: Any) -> tuple[dict[str, Any], int]:
    """What a file says of itself, and where tensors begin. Raises Damaged."""
    if file.read(len(MAGIC)) != MAGIC:
        raise Damaged("it does not begin as such files do")
    size = int.from_bytes(file.read(8), "little")
    digest = file.read(DIGEST_BYTES)
    header = file.read(min(size, 1 << 30))
    if _digest(header) != digest:
        raise Damaged("its header is not what was written")
    known: dict[str, Any] = json.loads(header)
    return known, _aligned(file.tell())


def _chunks(pieces: list[tuple[int, int, Entry, Tensor]]) -> Iterator[tuple[int, int, memoryview, int]]:
    """(file, place in it, memory, sum) of every chunk."""
    for file, start, entry, tensor in pieces:
        raw = _raw(tensor)
        for number, expected in enumerate(entry.sums):
            first = number * CHUNK
            yield file, start + first, raw[first : first + CHUNK], expected


def _fill(file: int, place: int, memory: memoryview, expected: int) -> None:
    filled = 0
    while filled < len(memory):
        count = os.preadv(file, [memory[filled:]], place + filled)
        if not count:
            raise Damaged("it was cut short")
        filled += count
    if _sum(memory) != expected:
        raise Damaged("its numbers are not those that were written")


def _sum(memory: memoryview) -> int:
    whole = len(memory) // BLOCK * BLOCK
    address = torch.frombuffer(memory, dtype=torch.uint8).data_ptr()
    words: int = library_of_panels().read(address, whole)
    return words ^ zlib.crc32(memory[whole:])


def _raw(tensor: Tensor) -> memoryview:
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy().data)


def _dtype(entry: Entry) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, entry.dtype)
    return dtype


def _bytes(entry: Entry) -> int:
    return torch.Size(entry.shape).numel() * _dtype(entry).itemsize


def _digest(header: bytes) -> bytes:
    return hashlib.blake2b(header, digest_size=DIGEST_BYTES).digest()


def _aligned(place: int) -> int:
    return -(-place // PAGE) * PAGE
