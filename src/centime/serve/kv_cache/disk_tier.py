"""Cached prefixes on disk: full blocks that outlive memory and the process (DeepSeek's context caching on disk).

A file is one block: a safetensors of its entries and a seal, a keyed hash of the model's fingerprint, the prefix and
the entries. The prefix itself, which is somebody's text, is not in it, nor in its name. What is read is verified before
it is used; a file that fails is deleted and the block computed again. Files are written by a thread of their own, whole
or not at all, and the least recently used go when the room is used up.

Which layers: those that the engine writes. An MTP module's entry of a token depends on the token after it, so that a
block is whole only once the token that follows it is known and MTP has run over its last one: at the end of the step
that computed it, for a request that goes on. That last entry is of the request that was first; another one that goes
on otherwise may guess the worse for it, and answers the same. Of the main layers an entry depends on the tokens up to
its own alone.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import queue
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from centime import __version__
from centime.model import Transformer
from centime.model.digest import weights_digest
from centime.native.library import kernels
from centime.serve.kv_cache.block_pool import Key
from centime.serve.kv_cache.cache_folder import PATIENCE_S, CacheFolder
from centime.threads import in_passing_thread

QUEUE = 256  # blocks that may wait to be written; beyond, they are not kept: serving never waits for the disk
_SEAL_BYTES = 32
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # no fault of the file
# Bits of a number, and those that are all ones where it is infinite or none. NumPy's view, because a thread that
# runs a parallel operation of torch's keeps helpers that slow the engine's down (docs/log.md).
_EXPONENTS = {
    torch.float32: (torch.int32, np.int32(0x7F800000)),
    torch.bfloat16: (torch.int16, np.int16(0x7F80)),
    torch.float16: (torch.int16, np.int16(0x7C00)),
}


def fingerprint(model: Transformer, deterministic: bool = False, weights: str | None = None) -> str:
    """What a cached entry depends on: every bit of the model, and who computes with it how.

    deterministic: steps whose bits do not depend on each other, though perhaps on the number of threads.
    weights: their digest, where it is known.
    """
    device = model.head_weight.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.backends.cpu.get_cpu_capability()} {kernels()}"
    )
    digest = weights if weights is not None else in_passing_thread(lambda: weights_digest(model), "centime-digest")
    threads = torch.get_num_threads() if deterministic and device.type == "cpu" else 0
    known = (model.config.model_dump_json(), digest, device.type, name, torch.__version__, __version__)
    return hashlib.blake2b(repr((*known, deterministic, threads)).encode(), digest_size=16).hexdigest()


def open_disk(
    path: Path, limit: int, model: Transformer, block: Tensor, deterministic: bool, files: str | None = None
) -> DiskTier:
    """The tier in folder `path` for what an engine computes with `model`; `block`: entries such as it will put.

    files: the mark of the files that the weights are from (`files_mark`), if they are from files and unchanged.
    Raises UserError as CacheFolder does.
    """
    folder = CacheFolder(path, PATIENCE_S)
    weight = model.head_weight
    mark = None if files is None else f"{files} {model.dtype} {tuple(weight.shape)} {kernels()} {__version__}"
    try:
        digest = folder.digest(mark, lambda: in_passing_thread(lambda: weights_digest(model), "centime-digest"))
        return DiskTier(folder, limit, fingerprint(model, deterministic, digest), tuple(block.shape), block.dtype)
    except BaseException:
        folder.close()
        raise


class DiskTier:
    """Blocks of one shape and dtype in `folder`, which it closes; at most `limit` bytes of them, earlier ones included.

    Raises UserError when the folder cannot be read.
    """

    def __init__(self, folder: CacheFolder, limit: int, model: str, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.folder, self.limit, self.shape, self.dtype = folder, limit, torch.Size(shape), dtype
        self._model = f"{model} {tuple(shape)} {dtype} ".encode()
        self._file_bytes = len(_file(torch.zeros(self.shape, dtype=dtype), bytes(_SEAL_BYTES)))
        self._lock = threading.Lock()
        self._sizes = OrderedDict(folder.blocks())  # least recently used first
        self.bytes = sum(self._sizes.values())
        self._make_room(0)
        self._todo: queue.Queue[tuple[Key, Key, tuple[int, ...], Tensor] | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._write_all, name="centime-prefixes", daemon=True)
        self._thread.start()

    def put(self, key: Key, parent: Key, tokens: Sequence[int], entries: Tensor) -> None:
        """Keeps a block if the writer has room for it and all its numbers are finite; returns at once.

        What was computed although a file of its name is there replaces it: that one, or one before it, was no good.
        """
        if not self._todo.full():
            with suppress(queue.Full):
                self._todo.put_nowait((key, parent, tuple(tokens), entries.to("cpu", copy=True)))

    def get(self, key: Key, parent: Key, tokens: Sequence[int]) -> Tensor | None:
        """The entries of exactly this prefix of exactly this model, or None, whatever is wrong with a file."""
        name = self._name(key)
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        try:
            found = load(self.folder.read(name, self._file_bytes))
            entries, seal = found["entries"], found["seal"].numpy().tobytes()
            if entries.shape != self.shape or entries.dtype != self.dtype:
                raise ValueError("another shape or type")
            if not hmac.compare_digest(seal, self._seal(parent, tokens, entries)):
                raise ValueError("the content is not what its name says")
            return entries
        except Exception as error:  # of our own or of the libraries that read it: the block is computed again
            if not (isinstance(error, OSError) and error.errno in _PASSING):
                self._drop(name)
            return None

    def close(self) -> None:
        """Writes what waits, and lets another server have the folder."""
        if self._thread.is_alive():
            self._todo.put(None)
            self._thread.join()
        self.folder.close()

    def _write_all(self) -> None:
        complained = False
        while (item := self._todo.get()) is not None:
            try:
                self._write(*item)
            except Exception as error:  # full, or taken away: serving goes on without it
                if not complained:
                    where = self.folder.path
                    print(
                        f"centime: the cache folder {where} cannot be written ({error}).", file=sys.stderr, flush=True
                    )
                complained = True

    def _write(self, key: Key, parent: Key, tokens: tuple[int, ...], entries: Tensor) -> None:
        if entries.shape != self.shape or entries.dtype != self.dtype or not _finite(entries):
            return
        name, content = self._name(key), _file(entries, self._seal(parent, tokens, entries))
        if len(content) > self.limit:
            return
        self._forget(name)
        self._make_room(len(content))
        self.folder.write(name, content)
        with self._lock:
            self._sizes[name] = len(content)
            self.bytes += len(content)

    def _make_room(self, size: int) -> None:
        """Deletes the least recently used until `size` more bytes are within the limit."""
        while True:
            with self._lock:
                if not self._sizes or self.bytes + size <= self.limit:
                    return
                oldest = next(iter(self._sizes))
            self._drop(oldest)

    def _forget(self, name: str) -> None:
        with self._lock:
            self.bytes -= self._sizes.pop(name, 0)

    def _drop(self, name: str) -> None:
        self._forget(name)
        self.folder.drop(name)

    def _name(self, key: Key) -> str:
        return hashlib.blake2b(self._model + key, key=self.folder.secret, digest_size=16).hexdigest()

    def _seal(self, parent: Key, tokens: Sequence[int], entries: Tensor) -> bytes:
        seal = hashlib.blake2b(self._model + parent, key=self.folder.secret, digest_size=_SEAL_BYTES)
        seal.update(array("I", tokens).tobytes())
        seal.update(_raw(entries))
        return seal.digest()


def _file(entries: Tensor, seal: bytes) -> bytes:
    return save({"entries": entries.contiguous(), "seal": torch.frombuffer(bytearray(seal), dtype=torch.uint8)})


def _raw(entries: Tensor) -> memoryview:
    return entries.contiguous().view(torch.uint8).numpy().data


def _finite(entries: Tensor) -> bool:
    whole, ones = _EXPONENTS[entries.dtype]
    return not bool(((entries.contiguous().view(whole).numpy() & ones) == ones).any())
