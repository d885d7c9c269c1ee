"""Token shards on disk: what a prepared folder holds, opened for reading, and checked to the last bit.

A split (`OUT/train`, `OUT/holdout`) is a folder of

- `tokens-00000.bin`: ids, little-endian uint16 or uint32, documents one after the other, none across two shards;
- `documents-00000.bin`: int64 [documents, 2], each document's tokens and the bytes of the text it came from;
- `index.json`: counts, checksums, the tokenizer's hash and how the folder was made. Written last.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from centime.errors import UserError
from centime.json_files import read_json

INDEX = "index.json"
FORMAT: Literal["centime-shards/1"] = "centime-shards/1"
MAPPED = 128
"""Shards kept mapped at a time: each holds a file descriptor, of which a process often has 1,024."""

AGAIN = "Run `centime data prepare` again to make the folder anew."


class Shard(BaseModel):
    """One pair of files and what they must hold."""

    model_config = ConfigDict(extra="forbid")
    tokens_file: str
    documents_file: str
    tokens: int = Field(ge=0)
    documents: int = Field(ge=0)
    bytes: int = Field(ge=0, description="UTF-8 bytes of the documents' text, before fill-in-the-middle")
    tokens_sha256: str
    documents_sha256: str


def _shown(made: dict[str, Any]) -> dict[str, Any]:
    """What is said of how shards were made, its lists and counts of their kind; the rest is as its version wrote it."""
    TypeAdapter(list[str]).validate_python(made.get("sources", []), strict=True)
    TypeAdapter(list[str]).validate_python(made.get("notes", []), strict=True)
    TypeAdapter(dict[str, int]).validate_python(made.get("left_out", {}), strict=True)
    return made


Made = Annotated[dict[str, Any], AfterValidator(_shown)]


class Index(BaseModel):
    """index.json of a split."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["centime-shards/1"] = FORMAT
    split: str
    dtype: Literal["uint16", "uint32"]
    vocab_size: int = Field(ge=1)
    tokenizer_sha256: str
    tokens: int = Field(ge=0)
    documents: int = Field(ge=0)
    bytes: int = Field(ge=0)
    shards: list[Shard]
    made: Made = Field(default_factory=dict, description="how: seed, fim, holdout, sources, versions")


def split_folder(path: str | Path) -> Path:
    """The folder of a split: the path itself, or its `train` when it is what `centime data prepare` wrote."""
    path = Path(path)
    if (path / INDEX).is_file():
        return path
    if (path / "train" / INDEX).is_file():
        return path / "train"
    found = "no index.json in it" if path.is_dir() else "no such folder"
    raise UserError(
        f"{path} is no prepared data ({found}); expected a folder made by "
        f"`centime data prepare SOURCES --tokenizer DIR --out {path}`."
    )


def read_index(folder: Path) -> Index:
    """index.json, typed. Raises UserError when it is unreadable or of another format."""
    file = folder / INDEX
    try:
        return Index.model_validate(read_json(file, "run `centime data prepare` again to make the folder anew"))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{file} is not an index of format {FORMAT} ({'.'.join(map(str, first['loc']))}: {first['msg']}). {AGAIN}"
        ) from error


class ShardSet:
    """A split opened for reading: the documents' places in memory (8 bytes each), the tokens mapped from disk."""

    def __init__(self, path: str | Path) -> None:
        """Open a split or a prepared folder; costs the size of the documents files, never that of the tokens.

        Raises UserError on a missing file, one of the wrong size, or documents that do not add up to the tokens.
        """
        self.folder = split_folder(path)
        self.index = read_index(self.folder)
        self.dtype = np.dtype(self.index.dtype).newbyteorder("<")
        lengths = [self._documents(shard)[:, 0] for shard in self.index.shards]
        total = sum(len(part) for part in lengths)
        self.starts: npt.NDArray[np.int64] = np.zeros(total + 1, dtype=np.int64)
        """[documents + 1] int64: where each document begins, counted in tokens over all shards."""
        np.cumsum(np.concatenate(lengths) if lengths else [], out=self.starts[1:])
        self.shard_starts: npt.NDArray[np.int64] = np.zeros(len(self.index.shards) + 1, dtype=np.int64)
        np.cumsum([shard.tokens for shard in self.index.shards], out=self.shard_starts[1:])
        if (self.index.tokens, self.index.documents) != (int(self.starts[-1]), total):
            raise UserError(
                f"{self.folder / INDEX} counts {self.index.tokens:,} tokens in {self.index.documents:,} documents, its "
                f"shards hold {int(self.starts[-1]):,} in {total:,}. {AGAIN}"
            )
        self.shard = lru_cache(maxsize=MAPPED)(self._map)

    def _sized(self, name: str, expected: int) -> Path:
        file = self.folder / name
        try:
            size = file.stat().st_size
        except OSError as error:
            raise UserError(f"{file} is missing or unreadable ({error.strerror}). {AGAIN}") from error
        if size != expected:
            state = "truncated" if size < expected else "longer than it was"
            raise UserError(f"{file} is {state}: {size:,} bytes, expected {expected:,}. Copy it again, or: {AGAIN}")
        return file

    def _documents(self, shard: Shard) -> npt.NDArray[np.int64]:
        """[documents, 2] int64 of a shard, held against the index."""
        self._sized(shard.tokens_file, shard.tokens * self.dtype.itemsize)
        file = self._sized(shard.documents_file, shard.documents * 16)
        table = np.fromfile(file, dtype="<i8").reshape(-1, 2)
        sums = (int(table[:, 0].sum()), int(table[:, 1].sum()))
        if sums != (shard.tokens, shard.bytes) or (len(table) and int(table[:, 0].min()) < 1):
            raise UserError(
                f"{file} is corrupt: its documents add up to {sums[0]:,} tokens and {sums[1]:,} bytes of text, "
                f"index.json says {shard.tokens:,} and {shard.bytes:,}. Copy it again, or: {AGAIN}"
            )
        return table.astype(np.int64, copy=False)

    def _map(self, number: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        """[tokens] of shard `number`, mapped: bytes come from disk when they are touched."""
        shard = self.index.shards[number]
        file = self._sized(shard.tokens_file, shard.tokens * self.dtype.itemsize)
        if shard.tokens == 0:
            return np.empty(0, dtype=self.dtype)
        return np.asarray(np.memmap(file, dtype=self.dtype, mode="r"))

    def document(self, number: int) -> npt.NDArray[np.int64]:
        """[tokens] int64 of one document, begin and end tokens included."""
        start, end = int(self.starts[number]), int(self.starts[number + 1])
        shard = int(np.searchsorted(self.shard_starts, start, side="right")) - 1
        offset = start - int(self.shard_starts[shard])
        return self.shard(shard)[offset : offset + end - start].astype(np.int64)

    def check(self) -> None:
        """Read every byte: checksums, and ids within the vocabulary. Raises UserError naming the first bad file."""
        for number, shard in enumerate(self.index.shards):
            for name, expected in (
                (shard.tokens_file, shard.tokens_sha256),
                (shard.documents_file, shard.documents_sha256),
            ):
                with (self.folder / name).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != expected:
                    raise UserError(
                        f"{self.folder / name} is corrupt: its SHA-256 is {found[:12]}..., index.json says "
                        f"{expected[:12]}.... Copy it again, or: {AGAIN}"
                    )
            if shard.tokens and (largest := int(self._map(number).max())) >= self.index.vocab_size:
                raise UserError(
                    f"{self.folder / shard.tokens_file} holds token {largest}, beyond the vocabulary of "
                    f"{self.index.vocab_size:,}. {AGAIN}"
                )


def require_tokenizer(folder: Path, data_sha256: str, tokenizer_folder: Path, tokenizer_sha256: str) -> None:
    """Raise UserError unless the data was made with this tokenizer."""
    if data_sha256 != tokenizer_sha256:
        raise UserError(
            f"{folder} was tokenised with another tokenizer ({data_sha256[:12]}...) than {tokenizer_folder} "
            f"({tokenizer_sha256[:12]}...); the ids would mean other words. Give the tokenizer folder the data was "
            f"prepared with, or prepare the data again with --tokenizer {tokenizer_folder}."
        )
