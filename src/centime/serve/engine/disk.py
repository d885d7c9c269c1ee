"""Cached prefixes on disk: full blocks that outlive memory and the process (DeepSeek's context caching on disk).

A file is one block: a safetensors of its entries, named by its key, with its tokens, its parent, the model's
fingerprint and a checksum beside them. What is read is verified; a file that fails is deleted and the block computed
again. Files are written by a thread of their own, whole or not at all, and the least recently used go when the room is
used up.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.blocks import Key

QUEUE = 256  # blocks that may wait to be written; beyond, they are not kept: serving never waits for the disk


def fingerprint(model: Transformer) -> str:
    """What a cached entry depends on: the configuration, the dtype, and a sample of every weight."""
    digest = hashlib.blake2b(model.config.model_dump_json().encode(), digest_size=16)
    for name, weight in model.state_dict().items():
        flat = (weight.to_dense() if weight.is_mkldnn else weight).flatten()
        sample = flat[:: max(1, len(flat) // 256)][:256].float().cpu().contiguous()
        digest.update(f"{name} {weight.dtype}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()


class DiskTier:
    """Blocks in `folder`, at most `limit` bytes of them. Raises UserError when the folder cannot be used."""

    def __init__(self, folder: Path, limit: int, model_fingerprint: str) -> None:
        self.folder, self.limit, self.fingerprint = folder, limit, model_fingerprint
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self.bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("*.tmp"):
                old.unlink()
            for file in sorted(folder.glob("*.kv"), key=lambda f: f.stat().st_mtime_ns):
                self._add(file.stem, file.stat().st_size)
        except OSError as error:
            raise UserError(f"the cache folder {folder} cannot be used ({error}); give another one.") from None
        self._todo: queue.Queue[tuple[Key, Key, tuple[int, ...], Tensor] | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._write_all, name="centime-prefixes", daemon=True)
        self._thread.start()

    def put(self, key: Key, parent: Key, tokens: Sequence[int], entries: Tensor) -> None:
        """Keeps a block [layers, tokens, width] if the writer has room for it; returns at once.

        What was computed although a file of its name is there replaces it: that one, or one before it, was no good.
        """
        with suppress(queue.Full):
            self._todo.put_nowait((key, parent, tuple(tokens), entries.to("cpu", copy=True)))

    def get(self, key: Key, parent: Key, tokens: Sequence[int]) -> Tensor | None:
        """The entries of exactly this prefix of exactly this model, or None."""
        name = key.hex()
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        file = self.folder / f"{name}.kv"
        try:
            with safe_open(file, framework="pt") as opened:
                known = opened.metadata() or {}
                if known.get("model") != self.fingerprint:
                    return None
                entries: Tensor = opened.get_tensor("entries")
            if (
                known.get("parent") != parent.hex()
                or json.loads(known.get("tokens", "[]")) != list(tokens)
                or known.get("sum") != _checksum(entries)
            ):
                raise ValueError("the content is not what its name says")
            os.utime(file)
            return entries
        except (OSError, ValueError, SafetensorError):
            self._drop(name)
            return None

    def close(self) -> None:
        """Writes what waits."""
        self._todo.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        told = False
        while (item := self._todo.get()) is not None:
            try:
                self._write(*item)
            except OSError as error:  # full, or taken away: serving goes on without it
                if not told:
                    print(f"centime: the cache folder {self.folder} cannot be written ({error}).", file=sys.stderr)
                told = True

    def _write(self, key: Key, parent: Key, tokens: tuple[int, ...], entries: Tensor) -> None:
        name = key.hex()
        known = {"model": self.fingerprint, "parent": parent.hex(), "tokens": json.dumps(tokens)}
        content = save({"entries": entries}, metadata={**known, "sum": _checksum(entries)})
        while self._sizes and self.bytes + len(content) > self.limit:
            self._drop(next(iter(self._sizes)))
        if len(content) > self.limit:
            return
        unfinished = self.folder / f"{name}.{os.getpid()}.tmp"
        try:
            unfinished.write_bytes(content)
            unfinished.replace(self.folder / f"{name}.kv")
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._add(name, len(content))

    def _add(self, name: str, size: int) -> None:
        with self._lock:
            self.bytes += size - self._sizes.pop(name, 0)
            self._sizes[name] = size

    def _drop(self, name: str) -> None:
        with self._lock:
            self.bytes -= self._sizes.pop(name, 0)
        with suppress(OSError):
            (self.folder / f"{name}.kv").unlink(missing_ok=True)


def _checksum(entries: Tensor) -> str:
    raw = entries.contiguous().view(torch.uint8).numpy().tobytes()
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
