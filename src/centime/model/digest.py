"""What tells one model's weights from another's: a digest of every bit, and a cheap mark of their files."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from centime.ops.quantised import Quantised

CHUNK = 4 * 2**20  # bytes that one thread hashes at a time: a gigabyte a second each
SETTLED_NS = 2 * 10**9  # a file changed less than this ago may change again within the same tick of its clock


def weights_digest(model: nn.Module) -> str:
    """A digest of the names, types, shapes and bits of all weights and their scales. Packed ones have another."""
    whole = hashlib.blake2b(digest_size=16)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        scales = [(f"{name}.scales", w.scales) for name, w in model.named_parameters() if isinstance(w, Quantised)]
        for name, weight in (*model.state_dict().items(), *scales):
            whole.update(f"{name} {weight.dtype} {tuple(weight.shape)} {weight.is_mkldnn} ".encode())
            raw = _bytes(weight)
            for part in threads.map(_digest, raw.split(CHUNK)):
                whole.update(part)
    return whole.hexdigest()


def files_mark(model: Path) -> str | None:
    """Changes whenever a file of weights or its config.json does: path, size, inode and times, of what links lead to.

    model: its folder, or the one file that it is.

    None where that cannot be told: no such file, or one that changed only just now.
    """
    mark = hashlib.blake2b(digest_size=16)
    try:
        inside = [model] if model.is_file() else model.iterdir()
        files = sorted(path.resolve() for path in inside if path.suffix in {".safetensors", ".json", ".gguf"})
        for file in files:
            known = os.stat(file)
            if time.time_ns() - max(known.st_mtime_ns, known.st_ctime_ns) < SETTLED_NS:
                return None
            numbers = (known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)
            mark.update(repr((str(file), numbers)).encode())
    except OSError:
        return None
    return mark.hexdigest() if files else None


def _bytes(weight: Tensor) -> Tensor:
    plain = weight.to_dense() if weight.is_mkldnn else weight.detach()
    return plain.to("cpu").contiguous().reshape(-1).view(torch.uint8)


def _digest(part: Tensor) -> bytes:
    return hashlib.blake2b(part.numpy().data, digest_size=16).digest()
