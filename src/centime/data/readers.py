"""Documents out of one file: plain text, JSON lines or parquet, compressed or not, here or on the Hub.

Every reader yields (text, position): the position, in bytes of the file as stored, drives the progress bar. Whatever is
wrong with a file becomes a UserError that names it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast, get_args

from centime.errors import UserError, nearest

Kind = Literal["text", "jsonl", "parquet"]
Undecodable = Literal["strict", "replace", "skip"]

BLOCK = 1 << 20
"""Bytes per read."""
PIECE = 1 << 26
"""Bytes (64 MiB) from which a text file is cut, at a line's end, into several documents, to bound the memory."""


@dataclass(frozen=True)
class SourceFile:
    """One file to read: where it is, how large as stored, and how to open it."""

    name: str
    size: int
    kind: Kind
    compression: Literal["gzip", "zstd"] | None
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class ReadOptions:
    """How to take documents out of files."""

    field: str = "text"
    """The key of a JSON line, or the column of a parquet file, that holds the text."""
    separator: str | None = None
    """What stands between documents within one text file, such as '<|endoftext|>'; None: a file is a document."""
    undecodable: Undecodable = "strict"
    """Text that is not UTF-8: stop with an error, put U+FFFD for the bad bytes, or leave the document out."""


def read_options(field: str = "text", separator: str | None = None, undecodable: str = "strict") -> ReadOptions:
    """ReadOptions from what a person typed: '\\n' and '\\t' in a separator mean those characters.

    Raises UserError on an unknown way with undecodable text.
    """
    ways = get_args(Undecodable)
    if undecodable not in ways:
        raise UserError(f"--undecodable {undecodable!r}: expected {', '.join(ways)}.{nearest(undecodable, ways)}")
    if separator is not None:
        separator = separator.replace("\\n", "\n").replace("\\t", "\t") or None
    return ReadOptions(field, separator, cast(Undecodable, undecodable))


class Unreadable(Exception):
    """A document that is not UTF-8; the caller decides between an error and leaving it out."""


def read_documents(file: SourceFile, options: ReadOptions, skipped: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    """(text, position) of every document of a file, in order; `skipped` is told why a document was left out.

    Raises UserError naming the file when it is damaged, not UTF-8 (unless options say otherwise) or lacks the field.
    """
    with _damage_named(file):
        if file.kind == "parquet":
            yield from _parquet(file, options, skipped)
        elif file.kind == "jsonl":
            yield from _json_lines(file, options, skipped)
        else:
            yield from _text(file, options, skipped)


@contextmanager
def _damage_named(file: SourceFile) -> Iterator[None]:
    """Turn what the system or Arrow say of a file into a UserError that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; Arrow's own have no number
            raise UserError(
                f"{file.name} cannot be read: {_first_line(error)}. Check the file and its permissions, or leave it "
                "out with --exclude."
            ) from error
        what = {"gzip": "gzip", "zstd": "zstd"}.get(file.compression or "", file.kind)
        raise UserError(
            f"{file.name} is damaged or cut short: {_first_line(error)} (expected a whole {what} file). "
            "Fetch it again, or leave it out with --exclude."
        ) from error


def json_records(file: SourceFile) -> Iterator[tuple[int, Any, int]]:
    """(line number from 1, parsed value, position) of every non-blank line of a JSON-lines file."""
    with _damage_named(file):
        for number, (line, position) in enumerate(_lines(file), start=1):
            if line.strip():
                yield number, _parsed(file, number, line), position


def _parsed(file: SourceFile, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file.name}, line {number} is not UTF-8 ({error.reason} at byte {error.start} of the line); "
            "JSON lines are UTF-8: convert the file."
        ) from error
    except ValueError as error:
        raise UserError(
            f"{file.name}, line {number} is not JSON ({error}); expected one JSON object a line. Mend the line; "
            "if it is the last, the file may be cut short: fetch it again."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _blocks(file: SourceFile) -> Iterator[tuple[bytes, int]]:
    """(decompressed bytes, position in the file as stored); Arrow's decompressor, unlike others, notices a cut file."""
    import pyarrow as pa

    with file.open() as raw:
        if file.compression is None:
            while block := raw.read(BLOCK):
                yield block, raw.tell()
            return
        with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), file.compression) as stream:
            while block := stream.read(BLOCK):
                yield block, min(raw.tell(), file.size)


def _lines(file: SourceFile) -> Iterator[tuple[bytes, int]]:
    rest: list[bytes] = []
    position = 0
    for block, position in _blocks(file):
        head, *lines = block.split(b"\n")
        rest.append(head)
        if lines:
            yield b"".join(rest), position
            rest = [lines.pop()]
            for line in lines:
                yield line, position
    if any(rest):
        yield b"".join(rest), position


def _json_lines(file: SourceFile, options: ReadOptions, skipped: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    for number, record, position in json_records(file):
        if not isinstance(record, dict):
            raise UserError(
                f"{file.name}, line {number} is a JSON {type(record).__name__}; expected an object with the text under "
                f"{options.field!r}."
            )
        if options.field not in record:
            raise _no_field(f"{file.name}, line {number}", options.field, list(record), "keys")
        yield from _checked(record[options.field], f"{file.name}, line {number}", position, options, skipped)


def _parquet(file: SourceFile, options: ReadOptions, skipped: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.open() as raw:
        table = pq.ParquetFile(raw)
        names = table.schema_arrow.names
        if options.field not in names:
            raise _no_field(file.name, options.field, names, "columns")
        kind = table.schema_arrow.field(options.field).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UserError(
                f"{file.name}: the column {options.field!r} holds {kind}; expected text. Name another with --field."
            )
        rows, total = 0, max(1, table.metadata.num_rows)
        for batch in table.iter_batches(batch_size=512, columns=[options.field]):
            try:
                texts = batch.column(0).to_pylist()
            except UnicodeDecodeError:  # one bad value spoils the whole column's conversion: take them one by one
                texts = [_value(cell) for cell in batch.column(0)]
            for text in texts:
                rows += 1
                where = f"{file.name}, row {rows}"
                yield from _checked(text, where, file.size * rows // total, options, skipped)


def _value(cell: Any) -> str | bytes | None:
    try:
        text: str | None = cell.as_py()
        return text
    except UnicodeDecodeError:
        return bytes(cell.as_buffer())


def _checked(
    value: Any, where: str, position: int, options: ReadOptions, skipped: Callable[[str], None]
) -> Iterator[tuple[str, int]]:
    """A text that UTF-8 can hold (JSON can spell lone surrogates), or what the options say of one that it cannot."""
    if value is None:
        skipped("empty")
        return
    if isinstance(value, bytes):
        try:
            text = _decode(value, where, options)
        except Unreadable:
            skipped("not UTF-8")
            return
    elif isinstance(value, str):
        text = value
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                if options.undecodable == "strict":
                    raise _undecodable(where, f"a lone surrogate at character {error.start}") from error
                if options.undecodable == "skip":
                    skipped("not UTF-8")
                    return
                text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    else:
        raise UserError(
            f"{where}: {options.field!r} holds a {type(value).__name__}; expected text. Name another with --field."
        )
    yield text, position


def _text(file: SourceFile, options: ReadOptions, skipped: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    if options.separator:
        yield from _separated(file, options, options.separator, skipped)
        return
    parts: list[bytes] = []
    held, position, start = 0, 0, 0

    def document(raw: bytes, position: int) -> Iterator[tuple[str, int]]:
        try:
            yield _decode(raw, file.name, options, start), position
        except Unreadable:
            skipped("not UTF-8")

    for block, position in _blocks(file):
        parts.append(block)
        held += len(block)
        if held >= PIECE and (cut := block.rfind(b"\n") + 1):
            parts[-1] = block[:cut]
            raw = b"".join(parts)
            yield from document(raw, position)
            parts, held, start = [block[cut:]], len(block) - cut, start + len(raw)
    if held:
        yield from document(b"".join(parts), position)


def _separated(
    file: SourceFile, options: ReadOptions, separator: str, skipped: Callable[[str], None]
) -> Iterator[tuple[str, int]]:
    mark = separator.encode()
    rest, position, start = b"", 0, 0
    for block, position in _blocks(file):
        *whole, rest = (rest + block).split(mark)
        for raw in whole:
            try:
                yield _decode(raw, file.name, options, start).strip("\r\n"), position
            except Unreadable:
                skipped("not UTF-8")
            start += len(raw) + len(mark)
    if rest:
        try:
            yield _decode(rest, file.name, options, start).strip("\r\n"), position
        except Unreadable:
            skipped("not UTF-8")


def _decode(raw: bytes, where: str, options: ReadOptions, start: int = 0) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if options.undecodable == "replace":
            return codecs.decode(raw, "utf-8", "replace")
        if options.undecodable == "skip":
            raise Unreadable from error
        raise _undecodable(where, f"byte 0x{raw[error.start]:02x} at offset {start + error.start}") from error


def _undecodable(where: str, what: str) -> UserError:
    return UserError(
        f"{where} is not UTF-8 text ({what}); expected UTF-8. Convert it, or add --undecodable skip (leave such "
        "documents out) or --undecodable replace (U+FFFD for the bad bytes)."
    )


def _no_field(where: str, field: str, found: list[str], what: str) -> UserError:
    return UserError(
        f"{where} has no {field!r}; its {what} are {', '.join(map(repr, found[:12])) or 'none'}. "
        f"Say which holds the text with --field.{nearest(field, found)}"
    )
