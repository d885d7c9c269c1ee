"""Charges of FOCUS files: a cloud's, a corrected one, another machine's ledger; one's own are not taken."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.ledger.imports.reports import FOCUS, saved
from tests.ledger.made import HOUR, made

from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of, write_focus
from centime.ledger.imports import Terms, read_statements


def test_charges_of_a_focus_file(tmp_path: Path, book: Book) -> None:
    book.take_in(read_statements(saved(tmp_path / "focus.csv", FOCUS), Terms()))
    lines = {(line.name, line.device): line for line in bill_of(book).imported}
    assert lines["EC2", "gpu-node"].cost_pico == 24_480_000_000_000
    assert lines["EC2", "gpu-node"].device_ns == HOUR
    assert lines["EC2", ""].cost_pico == -1_500_000_000_000
    assert lines["S3", ""].cost_pico == 46_000_000_200  # two charges alike are two
    assert lines["S3", ""].statements == 2


def test_a_file_as_clouds_compress_it(tmp_path: Path) -> None:
    (tmp_path / "part-0.csv.gz").write_bytes(gzip.compress(FOCUS.encode("utf-8-sig").replace(b"\n", b"\r\n")))
    found = read_statements(str(tmp_path / "part-0.csv.gz"), Terms())
    assert [one.name for one in found] == ["EC2", "S3", "S3", "EC2"]


def test_a_corrected_focus_file_replaces_what_it_said_before(tmp_path: Path, book: Book) -> None:
    book.take_in(read_statements(saved(tmp_path / "1.csv", FOCUS), Terms()))
    corrected = FOCUS.replace("24.48", "20.00") + (
        "a1,USD,Usage,2026-11-01T01:00:00Z,2026-11-01T02:00:00Z,24.48,0,EC2,Compute,gpu-node,1,Hours,1,Hours\n"
    )
    assert book.take_in(read_statements(saved(tmp_path / "2.csv", corrected), Terms())) == (2, 3)
    total = sum(line.cost_pico or 0 for line in bill_of(book).imported)
    assert total == 20_000_000_000_000 + 24_480_000_000_000 - 1_500_000_000_000 + 46_000_000_200


def test_the_ledger_of_another_machine_comes_over_focus(tmp_path: Path) -> None:
    ours, theirs = Book(tmp_path / "ours.sqlite"), Book(tmp_path / "theirs.sqlite")
    theirs.write([made(hours=3, host="elsewhere"), made("serve", 2, verb="serve", host="elsewhere")])
    write_focus(theirs, tmp_path / "theirs.csv")
    ours.take_in(read_statements(str(tmp_path / "theirs.csv"), Terms()))
    (line,) = bill_of(ours).imported
    assert (line.device_ns, line.cost_pico, line.device) == (5 * HOUR, 10 * 10**12, "Test CPU")


def test_ones_own_charges_are_not_imported(tmp_path: Path, book: Book) -> None:
    book.write([made()])
    write_focus(book, tmp_path / "own.csv")
    with pytest.raises(UserError, match="its 1 charges are of this ledger"):
        read_statements(str(tmp_path / "own.csv"), Terms())
