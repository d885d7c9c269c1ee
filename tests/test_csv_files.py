"""CSV files as rows: what is whole is read as it stands, what is none is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.csv_files import BEYOND, parse, read_rows
from centime.errors import UserError


def test_lines_keep_their_numbers_and_empty_ones_go() -> None:
    assert parse('a,b\n\n1,"two\nlines"\n\n3\n', "f", "mend it") == (["a", "b"], [(4, ["1", "two\nlines"]), (6, ["3"])])
    assert parse("", "f", "mend it") == ([], [])


def test_a_line_that_is_no_csv_is_named() -> None:
    field = "x" * (2**17 + 1)  # more than the csv module takes as one field
    with pytest.raises(UserError, match=r"^runs\.csv, line 3: field larger than field limit .*; cut it\.$"):
        parse(f"a,b\n1,2\n{field},3\n", "runs.csv", "cut it")


def test_rows_have_the_columns_of_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1\n1,2,3\n", encoding="utf-8")
    assert read_rows(file) == [{"a": "1", "b": None}, {"a": "1", "b": "2", BEYOND: ["3"]}]
    file.write_bytes(b"\xff")
    for path in (file, tmp_path / "absent.csv"):
        with pytest.raises(UserError, match=rf"^{path} cannot be read: .*; mend it or move it away\.$"):
            read_rows(path)
