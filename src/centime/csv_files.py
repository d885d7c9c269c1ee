"""CSV files as rows: the tables that centime ships, a person's own, and files that others wrote."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from centime.errors import UserError

Row = dict[str, Any]  # column -> its text; None where a line is too short
BEYOND = "(no heading)"  # the column of what a line holds more than the first one names
Lines = list[tuple[int, list[str]]]  # (number of the line, its fields)


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file in UTF-8 by the columns that its first line names.

    Raises UserError naming a file that cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, restkey=BEYOND))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}; mend it or move it away.") from None


def parse(text: str, where: str, mend: str) -> tuple[list[str], Lines]:
    """The fields of the first line, and those of every other one that is not empty, as they stand.

    where, mend: the file's name and what to do about it, for the sentence of the UserError that names a line which is
    no CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        head = next(reader, [])
        return head, [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(f"{where}, line {reader.line_num}: {error}; {mend}.") from None
