"""Tokenizers that others published, each read once a process: one takes a second and its tests only ask it things."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from centime.data.tokenizers import Tokenizer, load_tokenizer


@functools.cache
def published_tokenizer(shared: Path, name: str) -> Tokenizer:
    """Ours of a folder of the shared data, as "deepseek-v3"."""
    return load_tokenizer(shared / "data" / "tokenizers" / name)


@functools.cache
def transformers_tokenizer(folder: Path) -> Any:
    """What transformers makes of the same folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)
