"""One file or stream to read documents from: what it is called, how it is opened, and its bytes, decompressed."""

from __future__ import annotations

import bz2
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

from centime.errors import UserError

Kind = Literal["text", "jsonl", "json", "parquet", "stream"]
"""What a name says of a file: of 'json' the content decides how it is read, of 'stream' (no name) what it is at all."""
Compression = Literal["gzip", "zstd", "bz2", "xz"]
Block = tuple[bytes, int]
"""Decompressed bytes, and the position in the file as stored that they reach to."""

BLOCK = 1 << 20
"""Bytes per read."""
HUB = "hf://datasets/"
"""How the name of a file of the Hugging Face Hub begins."""
LONGEST = 1 << 26
"""Bytes (64 MiB) of one document, at most: a longer text is cut, a longer JSON line refused. It bounds the memory."""
_KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}


@dataclass(frozen=True)
class SourceFile:
    """One file to read: where it is, how large as stored, and how to open it."""

    name: str
    size: int
    kind: Kind
    compression: Compression | None
    open: Callable[[], BinaryIO]
    met: bool = False
    """Met in a folder or by a glob, not named: what cannot be read there is left out, not an error."""


def kind_of(name: str) -> tuple[Kind, Compression | None]:
    """(kind, compression) by a file's name: '.jsonl.gz' -> ('jsonl', 'gzip'); unknown endings are text."""
    stem, ending = os.path.splitext(name.lower())
    compression = _COMPRESSIONS.get(ending)
    if compression:
        ending = os.path.splitext(stem)[1]
    return _KINDS.get(ending, "text"), compression


@contextmanager
def damage_named(file: SourceFile) -> Iterator[None]:
    """Turn what the system, Arrow or a decompressor say of a file into a UserError that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, EOFError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; Arrow's own have no number
            raise UserError(
                f"{file.name} cannot be read: {_first_line(error)}. Check the file and its permissions, or leave it "
                "out with --exclude."
            ) from error
        what = file.compression or file.kind
        raise UserError(
            f"{file.name} is damaged or cut short: {_first_line(error)} (expected a whole {what} file). "
            "Fetch it again, or leave it out with --exclude."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def blocks(file: SourceFile, size: int | None = None) -> Iterator[Block]:
    """The file's bytes, `size` (BLOCK) at a time, decompressed; a file that was cut is noticed, and raises."""
    size = size or BLOCK
    with file.open() as raw:
        if file.compression is None:
            while block := raw.read(size):
                yield block, raw.tell()
            return
        with _decompressed(raw, file.compression) as stream:
            while block := stream.read(size):
                yield block, min(raw.tell(), file.size)


def _decompressed(raw: BinaryIO, compression: Compression) -> BinaryIO:
    import pyarrow as pa

    if compression == "bz2":
        return cast(BinaryIO, bz2.BZ2File(raw))
    if compression == "xz":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    # Python's gzip takes a cut file for a whole one where a member ends; Arrow's decompressor notices
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression))
