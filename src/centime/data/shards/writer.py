"""Writes one split: documents appended in order, cut into shards of a bounded size, index.json last."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from centime.data.shards.shard_set import INDEX, Index, Shard

SHARD_TOKENS = 1 << 28
"""Tokens per shard: half a GiB at two bytes each, one at four."""


class ShardWriter:
    """A folder of shards being written. Use it as a context manager; `finish` writes the index."""

    def __init__(
        self, folder: Path, split: str, vocab_size: int, tokenizer_sha256: str, shard_tokens: int = SHARD_TOKENS
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._shard_tokens = folder, shard_tokens
        self.index = Index(
            split=split,
            dtype="uint16" if vocab_size <= 1 << 16 else "uint32",
            vocab_size=vocab_size,
            tokenizer_sha256=tokenizer_sha256,
            tokens=0,
            documents=0,
            bytes=0,
            shards=[],
        )
        self.dtype = np.dtype(self.index.dtype).newbyteorder("<")
        self._files: tuple[BinaryIO, BinaryIO] | None = None
        self._hashes = (hashlib.sha256(), hashlib.sha256())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files or ():
            file.close()

    def append(
        self, tokens: npt.NDArray[Any], lengths: npt.NDArray[np.int64], text_bytes: npt.NDArray[np.int64]
    ) -> None:
        """Append documents: tokens [sum of lengths], lengths [documents], text_bytes [documents].

        A shard is closed once it is full; where depends on the documents alone, not on how they are batched.
        """
        done = begin = 0
        ends = np.cumsum(lengths)
        while done < len(lengths):
            shard = self._open()
            room = self._shard_tokens - shard.tokens
            # up to and with the document that fills the shard
            last = min(int(np.searchsorted(ends, begin + room, side="left")) + 1, len(lengths))
            end = int(ends[last - 1])
            table = np.stack([lengths[done:last], text_bytes[done:last]], axis=1).astype("<i8")
            self._write(0, tokens[begin:end].astype(self.dtype, copy=False).tobytes())
            self._write(1, table.tobytes())
            added = (end - begin, last - done, int(text_bytes[done:last].sum()))
            for counts in (shard, self.index):
                counts.tokens += added[0]
                counts.documents += added[1]
                counts.bytes += added[2]
            if shard.tokens >= self._shard_tokens:
                self._close()
            done, begin = last, end

    def _open(self) -> Shard:
        if self._files is None:
            number = len(self.index.shards)
            names = f"tokens-{number:05d}.bin", f"documents-{number:05d}.bin"
            self.index.shards.append(
                Shard(
                    tokens_file=names[0],
                    documents_file=names[1],
                    tokens=0,
                    documents=0,
                    bytes=0,
                    tokens_sha256="",
                    documents_sha256="",
                )
            )
            self._files = (self._folder / names[0]).open("wb"), (self._folder / names[1]).open("wb")
            self._hashes = (hashlib.sha256(), hashlib.sha256())
        return self.index.shards[-1]

    def _write(self, which: int, raw: bytes) -> None:
        assert self._files is not None
        self._files[which].write(raw)
        self._hashes[which].update(raw)

    def _close(self) -> None:
        if self._files is not None:
            for file in self._files:
                file.close()
            shard = self.index.shards[-1]
            shard.tokens_sha256, shard.documents_sha256 = (h.hexdigest() for h in self._hashes)
            self._files = None

    def finish(self, made: dict[str, Any]) -> Index:
        """Close the last shard and write index.json, with `made` saying how the data came about."""
        self._close()
        self.index.made = made
        (self._folder / INDEX).write_text(self.index.model_dump_json(indent=1) + "\n", "utf-8")
        return self.index
