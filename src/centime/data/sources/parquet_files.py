"""Rows out of Parquet: one column of text, or every column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from centime.data.sources.source_file import SourceFile
from centime.errors import UserError, nearest

BATCH_BYTES = 1 << 24
"""Bytes of a column, as its row group counts them, that are turned into Python's texts at a time."""
BATCH_ROWS = 512


def column_values(file: SourceFile, field: str) -> Iterator[tuple[str, str | bytes | None, int]]:
    """(where, text, position) of every row; bytes where a text is not UTF-8. Raises UserError without a text column."""
    import pyarrow.parquet as pq

    with file.open() as raw:
        table = pq.ParquetFile(raw)
        names = table.schema_arrow.names
        if names.count(field) != 1:
            if names.count(field) > 1:
                raise UserError(f"{file.name} has several columns called {field!r}. Rename all but one.")
            raise no_field(file.name, field, names, "columns")
        kind = table.schema_arrow.field(field).type
        if not _is_text(kind):
            raise UserError(
                f"{file.name}: the column {field!r} holds {kind}; expected text. Name another with --field."
            )
        for where, batch, position in _batches(file, table, [field]):
            column = batch.column(0)
            try:
                texts = column.to_pylist()
            except UnicodeDecodeError:  # one bad value spoils the whole column's conversion: take them one by one
                texts = [_value(cell) for cell in column]
            for number, text in enumerate(texts, start=where):
                yield f"{file.name}, row {number}", text, position(number)


def row_records(file: SourceFile) -> Iterator[tuple[str, dict[str, Any], int]]:
    """(where, {column: value}, position) of every row, as pyarrow gives them. Raises UserError on text that is none."""
    import pyarrow.parquet as pq

    with file.open() as raw:
        table = pq.ParquetFile(raw)
        for where, batch, position in _batches(file, table, None):
            try:
                rows = batch.to_pylist()
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{file.name}, in rows {where} to {where + batch.num_rows - 1}: a text is not UTF-8 "
                    f"({error.reason}). Convert it."
                ) from error
            for number, row in enumerate(rows, start=where):
                yield f"{file.name}, row {number}", row, position(number)


def _batches(file: SourceFile, table: Any, columns: list[str] | None) -> Iterator[tuple[int, Any, Any]]:
    """(number of its first row from 1, batch, row -> position in the file)."""
    total = max(1, table.metadata.num_rows)
    stored = sum(table.metadata.row_group(group).total_byte_size for group in range(table.num_row_groups))
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES * total // max(1, stored)))
    first = 1
    for batch in table.iter_batches(batch_size=rows, columns=columns):
        yield first, batch, lambda row: file.size * row // total
        first += batch.num_rows


def _is_text(kind: Any) -> bool:
    """Whether pyarrow gives str (or None) for values of this type."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _is_text(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    texts = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null
    return any(is_one(kind) for is_one in texts)


def _value(cell: Any) -> str | bytes | None:
    """A cell's text, or its bytes where they are not UTF-8."""
    try:
        text: str | None = cell.as_py()
        return text
    except UnicodeDecodeError:
        return bytes(cell.as_buffer())


def no_field(where: str, field: str, found: list[str], what: str) -> UserError:
    """What to say of a record or table without the field."""
    chats = {"messages"} <= {*found} or {"prompt", "answer"} <= {*found}
    hint = (
        " Chats and pairs are not prepared: give the file as it is to the recipe's [sft] data =."
        if chats
        else f" Say which holds the text with --field.{nearest(field, found)}"
    )
    return UserError(f"{where} has no {field!r}; its {what} are {', '.join(map(repr, found[:12])) or 'none'}.{hint}")
