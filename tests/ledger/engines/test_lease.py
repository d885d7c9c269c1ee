"""One meter at a time on an engine, whatever it is called; a killed one's lease ends with it."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ledger.engines.pages import Did, shown, vllm

from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.engines import lease
from centime.ledger.engines.metering import metered
from centime.ledger.engines.watch import page_of
from centime.ledger.imports import Terms
from centime.ledger.process import this_process

PAGE = "http://gpu1:8000/metrics"
HOLD = """
import sys
from centime.ledger import Book
with Book(sys.argv[1]) as book, book.metering(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path, page: str) -> subprocess.Popen[str]:
    """A process that meters an engine until it is told to end."""
    words = [sys.executable, "-c", HOLD, str(path), page]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_meter_is_refused_and_a_killed_one_is_not_waited_for(book: Book) -> None:
    with shown(lambda: vllm(Did(1))) as address:
        first = holder(book.path, page_of(address))
        again = address.replace("127.0.0.1", "localhost")
        with pytest.raises(UserError, match=f"metered already, by process {first.pid}"):
            metered(book, page_of(again), Terms(), 0.1, 0.05)
        assert book.imported() == []
        first.kill()
        first.communicate()
        assert metered(book, page_of(again), Terms(), 0.1, 0.05).last is not None
    with book.metering(PAGE), book.metering("http://gpu2:8000/metrics"):  # another engine
        pass


def test_a_lease_is_given_back(book: Book) -> None:
    first = holder(book.path, PAGE)
    first.communicate("")
    with book.metering("http://GPU1:8000/other"):
        pass


def test_whoever_cannot_be_asked_for_is_believed_for_a_minute(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = dataclasses.replace(this_process(), namespace="pid:[another container]")
    with monkeypatch.context() as there:
        there.setattr(lease, "this_process", lambda: elsewhere)
        lease.take_lease(book._connection, PAGE)
        lease.keep_lease(book._connection, PAGE)
    with pytest.raises(UserError, match="metered already"), book.metering(PAGE):
        pass
    book._connection.execute("UPDATE metered_engines SET seen_ns = seen_ns - 61000000000")
    with book.metering(PAGE):
        pass


def test_a_ledger_that_cannot_be_written_gets_a_sentence(book: Book) -> None:
    other = sqlite3.connect(book.path, isolation_level=None)
    book._connection.execute("PRAGMA busy_timeout = 10")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="cannot be written"), book.metering(PAGE):
        pass
    other.close()


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("http://127.0.0.1:8080/metrics", "localhost:8080"),
        ("http://[::1]:8080/", "localhost:8080"),
        ("https://GPU1/metrics", "gpu1:443"),
        ("http://gpu1", "gpu1:80"),
    ],
)
def test_names(page: str, name: str) -> None:
    assert lease.engine_named(page) == name
