"""Prepared data with tokens that the test chose, so that every token can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from centime.data.shards.writer import ShardWriter


def write_split(
    folder: Path, documents: Sequence[Sequence[int]], *, vocab_size: int = 60000, shard_tokens: int = 50, sha: str = "a"
) -> Path:
    """A split that holds exactly these documents; each is said to come from twice as many bytes as it has tokens."""
    with ShardWriter(folder, "train", vocab_size, sha, shard_tokens) as writer:
        lengths = np.array([len(document) for document in documents], dtype=np.int64)
        flat = np.array([token for document in documents for token in document], dtype=np.uint32)
        writer.append(flat, lengths, lengths * 2)
        writer.finish({})
    return folder


def numbered(lengths: Sequence[int], first: int = 0) -> list[list[int]]:
    """Documents of these lengths in which no token occurs twice in the whole corpus: first, first + 1, ..."""
    ends = np.cumsum(lengths).tolist()
    return [list(range(first + end - length, first + end)) for end, length in zip(ends, lengths, strict=True)]
