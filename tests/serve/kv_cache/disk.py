"""Prefixes on disk: a server that answers one request over a folder, and the tier alone."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.serve.engine.made import Asked, brute_force, engine, run
from torch import Tensor

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.serve.kv_cache.block_pool import block_key, root_key
from centime.serve.kv_cache.cache_folder import CacheFolder
from centime.serve.kv_cache.disk_tier import DiskTier

PROMPT = list(range(3, 25))

ROOT = root_key("")


def answer(model: Transformer, tokenizer: Tokenizer, folder: Path, **settings: object) -> Asked:
    """One answer of a server that is started for it and stopped after it."""
    served, request = engine(model, tokenizer, disk=folder, **settings), Asked(PROMPT, max_tokens=5)
    run(served, request)
    served.stop()
    assert request.tokens == brute_force(model, PROMPT, 5)
    return request


def tier(folder: Path, limit: int = 10**6, shape: tuple[int, ...] = (2, 4, 8), model: str = "model") -> DiskTier:
    return DiskTier(CacheFolder(folder), limit, model, shape, torch.float32)


def put(disk: DiskTier, token: int, entries: Tensor | None = None) -> None:
    whole = torch.full(disk.shape, float(token)) if entries is None else entries
    disk.put(block_key(ROOT, [token]), ROOT, [token], whole)


def get(disk: DiskTier, token: int) -> Tensor | None:
    return disk.get(block_key(ROOT, [token]), ROOT, [token])


def kept(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.kv"))
