"""What prepared data is, in figures, and whether it still is what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from centime.data.shards.shard_set import INDEX, ShardSet, require_tokenizer, split_folder
from centime.data.tokenizers import load_tokenizer
from centime.units import plural


def splits(folder: Path) -> list[ShardSet]:
    """The splits of a prepared folder (train, then holdout where there is one), or the one split that it is.

    Raises UserError when the folder is no prepared data, or a file of it is missing or of the wrong size.
    """
    first = split_folder(folder)
    found = [first]
    if first != folder and (folder / "holdout" / INDEX).is_file():
        found.append(folder / "holdout")
    return [ShardSet(path) for path in found]


def describe(folder: Path) -> dict[str, Any]:
    """Counts of every split, and how the data was made; JSON-ready. Token and byte counts are of whole documents."""
    opened = splits(folder)
    rows = []
    for shards in opened:
        index, lengths = shards.index, np.diff(shards.starts)
        rows.append(
            {
                "split": index.split,
                "tokens": index.tokens,
                "documents": index.documents,
                "bytes": index.bytes,
                "bytes_per_token": index.bytes / index.tokens if index.tokens else None,
                "median_document_tokens": int(np.median(lengths)) if len(lengths) else 0,
                "longest_document_tokens": int(lengths.max(initial=0)),
                "shards": len(index.shards),
            }
        )
    first = opened[0].index
    return {
        "folder": str(folder),
        "vocab_size": first.vocab_size,
        "dtype": first.dtype,
        "tokenizer_sha256": first.tokenizer_sha256,
        "made": first.made,
        "splits": rows,
    }


@dataclass(frozen=True)
class Sound:
    """What was held against its checksums, and holds. tokens, documents, shards: of a split; 0 for a tokenizer."""

    path: Path
    kind: str  # 'split' or 'tokenizer'
    tokens: int = 0
    documents: int = 0
    shards: int = 0

    def sentence(self) -> str:
        """For a person."""
        if self.kind == "tokenizer":
            return f"{self.path}: the tokenizer that the data was made with."
        return (
            f"{self.path}: sound; {plural(self.tokens, 'token')} in {plural(self.documents, 'document')}, "
            f"{plural(self.shards, 'shard')}, every checksum holds."
        )

    def as_json(self) -> dict[str, Any]:
        """{path, kind, tokens, documents, shards}."""
        return asdict(self) | {"path": str(self.path)}


def check(folder: Path, tokenizer_folder: Path | None = None) -> Iterator[Sound]:
    """Each thing found sound. Raises UserError, naming the file, on the first that is not."""
    opened = splits(folder)
    for shards in opened:
        shards.check()
        index = shards.index
        yield Sound(shards.folder, "split", index.tokens, index.documents, len(index.shards))
    copy = folder / "tokenizer"
    for candidate in (copy if copy.is_dir() else None, tokenizer_folder):
        if candidate is not None:
            tokenizer = load_tokenizer(candidate)
            for shards in opened:
                require_tokenizer(shards.folder, shards.index.tokenizer_sha256, candidate, tokenizer.sha256)
            yield Sound(candidate, "tokenizer")
