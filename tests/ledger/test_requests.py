"""Requests in the ledger one by one: in the order of their coming, small, by run, and as a file of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.ledger.made import HOUR, made
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import write_requests
from centime.ledger.book import connect
from centime.ledger.requests import ServedRequest, add_request

ONE = ServedRequest(
    "tiny", "/runs/tiny", "alice", "deepseek-r1", "USD", 1_764_538_245_123_456_789, 100, 60, 10, 250_000_000,
    1_500_000_001, 42_000_000,
)  # fmt: skip


def add(book: Book, *rows: ServedRequest) -> None:
    connection = connect(book.path)
    for row in rows:
        add_request(connection, row)
    connection.close()


def test_a_row_says_when_how_much_how_long_and_for_what(book: Book, tmp_path: Path) -> None:
    silent = dataclasses.replace(
        ONE, run="other", run_path="", key="", tariff="", currency="", arrived_ns=ONE.arrived_ns - 1, first_token_ns=0
    )
    add(book, ONE, silent)
    assert list(book.requests()) == [silent, ONE]
    path = tmp_path / "requests.csv"
    assert write_requests(book, path) == 2
    head, first, second = path.read_text().splitlines()
    assert head == (
        "instant,key,model,prompt_tokens,cached_tokens,answer_tokens,ttft_s,seconds,price,currency,price_list,"
        "energy_joules,energy_source"
    )
    assert first == "2025-11-30T21:30:45.123456Z,,other,100,60,10,,1.500000001,,,,,none"
    assert second == (
        "2025-11-30T21:30:45.123456Z,alice,tiny,100,60,10,0.250000000,1.500000001,0.000042,USD,deepseek-r1,,none"
    )
    assert write_requests(book, path) == 2  # its own file is replaced
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a table of requests"):
        write_requests(book, path)


def test_one_run_alone(book: Book, tmp_path: Path) -> None:
    book.write([made("serve", 1.0, verb="serve")])
    add(book, ONE, dataclasses.replace(ONE, run="other", run_path=""))
    run = book.intervals()[0].run
    add(book, dataclasses.replace(ONE, run=run, run_path=book.intervals()[0].run_path or "", prompt_tokens=7))
    path = tmp_path / "requests.csv"
    assert write_requests(book, path, run) == len([r for r in book.requests() if r.run == run])
    assert ",other," not in path.read_text()
    with pytest.raises(UserError, match="nothing"):
        write_requests(book, tmp_path / "none.csv", "nothing")
    assert not (tmp_path / "none.csv").exists()


def test_a_thousand_requests_take_less_than_a_tenth_of_a_megabyte(book: Book) -> None:
    connection = connect(book.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = book.path.stat().st_size
    connection.execute("BEGIN")
    for number in range(1000):
        add_request(connection, dataclasses.replace(ONE, arrived_ns=ONE.arrived_ns + number * HOUR))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert book.path.stat().st_size - before < 100_000


def test_a_ledger_of_an_earlier_version_gains_the_table(book: Book) -> None:
    connection = connect(book.path)
    connection.executescript("DROP TABLE requests; DROP TABLE request_names; PRAGMA user_version = 4;")
    connection.close()
    with Book(book.path) as again:
        assert list(again.requests()) == []
        add(again, ONE)
        assert list(again.requests()) == [ONE]


def test_the_verb_writes_them_beside_the_bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path))
    with Book() as book:
        add(book, ONE)
    path = tmp_path / "requests.csv"
    ended = CliRunner().invoke(app, ["bill", "--json", "--requests", str(path)])
    assert ended.exit_code == 0, ended.output
    assert "1 request, each as it came" in ended.stderr
    assert path.read_text().count("\n") == 2
