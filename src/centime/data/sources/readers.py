"""Documents, or whole records, out of one file: plain text, JSON or Parquet, compressed or not, here or on the Hub.

Every reader yields a position, in bytes of the file as stored, that drives the progress bar. Whatever is wrong with a
file becomes a UserError that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, BinaryIO, cast

from centime.data.sources.json_records import Record, line_records, value_records
from centime.data.sources.left_out import LeftOut, ReadOptions, UndecodableDocument, text_of
from centime.data.sources.parquet_files import column_values, no_field, row_records
from centime.data.sources.signature import Shape, compression_of, json_shape, refuse_foreign
from centime.data.sources.source_file import BLOCK, Block, SourceFile, blocks, damage_named
from centime.data.sources.streams import PeekedStream
from centime.data.sources.text_files import text_documents
from centime.errors import UserError


def read_documents(file: SourceFile, options: ReadOptions, left_out: LeftOut) -> Iterator[tuple[str, int]]:
    """(text, position) of every document of a file, in order; `left_out` is told why one was left out.

    Raises UserError naming the file when it is damaged, not UTF-8 (unless options say otherwise) or lacks the field.
    """
    with damage_named(file):
        if file.kind == "parquet":
            for where, value, position in column_values(file, options.field):
                yield from _document(value, where, position, options, left_out)
            return
        file, first, read = _begun(file)
        found = None if file.kind == "text" else _records(file, first, read, left_out, options.field)
        if found is None:
            left_out.as_text += file.kind == "json"
            yield from text_documents(file.name, read, options, left_out, binary_is_error=not file.met)
            return
        for where, record, position in found:
            try:
                value = _field_of(record, where, options.field)
                document = list(_document(value, where, position, options, left_out))
            except UserError as error:
                left_out.line(error)
                continue
            yield from document


def records(file: SourceFile) -> Iterator[Record]:
    """(where, value, position) of every line of JSON lines, element of a JSON array, or row of a Parquet file."""
    with damage_named(file):
        if file.kind == "parquet":
            yield from row_records(file)
            return
        file, first, read = _begun(file)
        if file.kind == "text":  # whatever the ending: who asks for records has some
            file = replace(file, kind="jsonl")
        found = _records(file, first, read, LeftOut(), None)
        yield from found or ()


def _begun(file: SourceFile) -> tuple[SourceFile, bytes, Iterator[Block]]:
    """(the file with what its content says of it, its first block, all its blocks); UserError where it is no text."""
    if file.kind == "stream":
        stream = cast(BinaryIO, held := PeekedStream(file.open()))
        head = held.peek()
        file = replace(file, compression=compression_of(head), open=lambda: stream)
    read = blocks(file)
    first = next(read, (b"", 0))
    refuse_foreign(file.name, first[0])
    return file, first[0], chain([first], read)


def _records(
    file: SourceFile, first: bytes, read: Iterator[Block], left_out: LeftOut, field: str | None
) -> Iterator[Record] | None:
    """The records of a file of JSON; None for one that is plain text after all, by its content.

    A stream is text unless it begins with an object that has the field. So is a .json file met in a folder:
    package.json in a source tree is a text like the code around it.
    """
    shape = json_shape(first)
    if shape == "lines" or (file.kind == "jsonl" and not (shape == "values" and first.lstrip().startswith(b"["))):
        found = line_records(file.name, read, left_out.line)
    elif shape == "values":
        found = value_records(file.name, read)
    elif file.kind == "stream" or (file.kind == "json" and file.met):
        return None
    elif not first.strip():
        return iter(())
    else:
        raise UserError(
            f"{file.name} holds no JSON objects; expected one a line, or an array of them, each with the text under "
            f"{field or 'prompt and answer'!r}. Mend it, or give it another ending (.txt) to be read as plain text."
        )
    if (file.kind == "stream" or (file.kind == "json" and file.met)) and not _has(first, shape, field):
        return None
    return found


def _has(first: bytes, shape: Shape, field: str | None) -> bool:
    """Whether the first record has the field, as far as the first block tells."""
    try:
        beginning = [(first, len(first))]
        heads = line_records("", beginning, _raised) if shape == "lines" else value_records("", beginning)
        head = next(heads, ("", None, 0))[1]
    except UserError:
        return len(first) >= BLOCK and f'"{field}"'.encode() in first  # a record that does not end within the block
    return isinstance(head, dict) and (field is None or field in head)


def _raised(error: UserError) -> None:
    raise error


def _field_of(record: Any, where: str, field: str) -> Any:
    if not isinstance(record, dict):
        raise UserError(f"{where} is a JSON {type(record).__name__}; expected an object with the text under {field!r}.")
    if field not in record:
        raise no_field(where, field, list(record), "keys")
    return record[field]


def _document(
    value: Any, where: str, position: int, options: ReadOptions, left_out: LeftOut
) -> Iterator[tuple[str, int]]:
    """The document that a field's value is, or what the options say of one that is none."""
    if value is None:
        left_out.document("empty")
    elif isinstance(value, str | bytes):
        try:
            yield text_of(value, where, options), position
        except UndecodableDocument:
            left_out.document("not UTF-8")
    else:
        raise UserError(
            f"{where}: {options.field!r} holds a {type(value).__name__}; expected text. Name another with --field."
        )
