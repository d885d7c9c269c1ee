"""The book: several writers, and intervals whose process is gone."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.ledger.made import made

from centime.errors import UserError
from centime.ledger import Book, default_book_path
from centime.ledger.book import name_of, settled
from centime.ledger.interval import CLOSED, HEARTBEAT_NS, OPEN, RECOVERED, Interval
from centime.ledger.process import this_process

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "deep" / "ledger.sqlite")


def open_interval(age_ns: int = 0, **changes: object) -> Interval:
    """An open interval whose last heartbeat was `age_ns` ago."""
    interval = made(state=OPEN, measured_ns=1_000_000_000)
    interval.mono_start_ns = time.monotonic_ns() - age_ns - interval.measured_ns
    return dataclasses.replace(interval, **changes)  # type: ignore[arg-type]


def of_process(pid: int) -> dict[str, object]:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return {"pid": pid, "started": int(stat.rpartition(")")[2].split()[19])}


def test_its_place_is_the_persons_and_can_be_moved(centime_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_book_path() == centime_home / "ledger.sqlite"
    monkeypatch.delenv("CENTIME_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_book_path() == Path("/data/centime/ledger.sqlite")


def test_what_is_written_is_read_again(book: Book) -> None:
    rows = [made(), made("context", flops=1e25, tokens=10**15, energy_uj=1e20)]
    book.write(rows)
    rows[0].tokens = 5
    book.write(rows)  # whole rows, so that writing again changes only what changed
    again = {row.id: row for row in Book(book.path).intervals()}
    assert again == {row.id: row for row in rows}


def test_an_interval_of_a_living_process_stays_open(book: Book) -> None:
    book.write([open_interval(age_ns=5_000_000_000)])  # this very process, however late its heartbeat
    assert book.intervals()[0].state == OPEN


def test_the_interval_of_a_killed_process_ends_at_its_last_heartbeat(book: Book) -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        book.write([open_interval(age_ns=900_000_000, **of_process(child.pid))])
        assert book.intervals()[0].state == OPEN
        os.kill(child.pid, signal.SIGSTOP)
        assert book.intervals()[0].state == OPEN  # a stopped process keeps its device
        child.kill()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.001)
        (zombie,) = book.intervals()  # dead, though its parent has not noticed
    assert (zombie.state, zombie.measured_ns, zombie.estimated_ns) == (RECOVERED, 1_000_000_000, HEARTBEAT_NS)
    (later,) = Book(book.path).intervals()
    assert later == zombie


def test_no_more_is_estimated_than_the_time_that_has_passed() -> None:
    dead = open_interval(pid=2**22 + 1, started=1)
    now = dead.mono_start_ns + dead.measured_ns + 1_000
    assert settled(dead, now).estimated_ns == 1_000
    assert settled(dead, now + 10**12).estimated_ns == HEARTBEAT_NS <= 1_000_000_000


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"started": 1}, RECOVERED),  # the pid is this process's, its start is not: the pid was used again
        ({"boot": "another boot"}, RECOVERED),
        ({"boot": "another boot", "mono_start_ns": 2**62}, RECOVERED),  # whose clock was ahead of ours
        ({"namespace": "another container"}, OPEN),  # nobody can ask; its heartbeat is fresh
    ],
)
def test_a_process_is_more_than_its_pid(book: Book, changes: dict[str, object], state: str) -> None:
    book.write([open_interval(**changes)])
    (interval,) = book.intervals()
    assert interval.state == state
    assert interval.estimated_ns <= HEARTBEAT_NS


def test_a_silent_process_of_another_container_is_gone_until_it_speaks_again(book: Book) -> None:
    silent = open_interval(age_ns=61 * 10**9, namespace="another container")
    book.write([silent])
    assert book.intervals()[0].state == RECOVERED
    book.write([dataclasses.replace(silent, measured_ns=silent.measured_ns + 61 * 10**9)])  # it was frozen
    (back,) = book.intervals()
    assert (back.state, back.estimated_ns) == (OPEN, 0)


def test_a_closed_interval_is_left_alone(book: Book) -> None:
    book.write([made(started=1, boot="another boot")])
    assert book.intervals()[0].state == CLOSED


def test_a_book_that_cannot_be_written_is_read_all_the_same(book: Book) -> None:
    book.write([open_interval(started=1)])
    with sqlite3.connect(book.path, isolation_level=None) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        book._connection.execute("PRAGMA busy_timeout = 10")
        assert book.intervals()[0].state == RECOVERED


@pytest.mark.parametrize("content", [b"this is no database at all, not even nearly" * 50, b""])
def test_a_file_that_is_no_book_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    if not content:
        assert Book(path).intervals() == []  # an empty file is an empty database
        return
    with pytest.raises(UserError, match=r"ledger\.sqlite cannot be opened .*; mend or move the file"):
        Book(path)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be opened"):
        Book(tmp_path / "file" / "ledger.sqlite")


def test_a_later_book_is_refused(book: Book) -> None:
    book._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="upgrade centime"):
        Book(book.path)


def test_a_plan_is_kept_by_run_and_folder(book: Book) -> None:
    book.set_plan("a/tiny", {"cost": 1})
    book.set_plan("b/tiny", {"cost": 2})
    book.set_plan("b/tiny", {"cost": 3})
    name, path = name_of("a/tiny")
    assert book.plan(name, path) == {"cost": 1}
    assert book.plan(name) == {"cost": 3}
    assert book.plan("other") is None


def test_a_run_is_its_folder_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    folder = ("tiny", str(tmp_path / "tiny"))
    assert [name_of(run) for run in ("tiny", "./tiny", "x/../tiny/", tmp_path / "tiny")] == [folder] * 4
    assert name_of("elsewhere") == ("elsewhere", None)


def test_processes_that_make_the_book_at_once_all_write_it(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from tests.ledger.made import made\n"
        "from centime.ledger import Book\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "book = Book(sys.argv[1])\n"
        "for number in range(20):\n"
        "    book.write([made(tokens=number)])\n"
    )
    path, start = tmp_path / "ledger.sqlite", time.time() + 1
    command = [sys.executable, "-c", program, str(path), str(start)]
    writers = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(Book(path).intervals()) == 80
    assert this_process().pid == os.getpid()
