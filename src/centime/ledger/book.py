"""The book: one SQLite file that every process of a user writes to, and the bill reads.

Rows are whole statements, never increments: a process writes its own interval again and again with larger
figures, so that writing twice changes nothing and a write that failed is made good by the next. A killed process's
interval ends at its last heartbeat; what it may have run after that, at most one heartbeat's time, is booked as
estimated. If the process turns out to live after all (frozen, or in another container), its next heartbeat takes its
row back.

WAL mode lets one process write while others read, and writers queue for a fraction of a millisecond. It needs a local
disk: SQLite's WAL does not work on a network file system.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from centime.catalogue.home import centime_home
from centime.errors import UserError
from centime.ledger.engines.lease import end_lease, keep_lease, take_lease
from centime.ledger.imported import Imported, imported_rows, write_imported
from centime.ledger.interval import COLUMNS, HEARTBEAT_NS, OPEN, RECOVERED, Interval
from centime.ledger.people import erase, rows_of
from centime.ledger.process import Identity, alive
from centime.ledger.requests import ServedRequest, served_requests
from centime.ledger.schema import SCHEMA_VERSION, migrate
from centime.ledger.served import EngineHour, Served, engine_hours, served_rows
from centime.ledger.shared import Postgres, shared_ledger
from centime.ledger.tagged import TaggedLine, tagged_lines

BUSY_SECONDS = 10.0

_UPSERT = (
    f"INSERT INTO intervals ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    "ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
)


def default_book_path() -> Path:
    """$CENTIME_HOME/ledger.sqlite (see `centime_home`)."""
    return centime_home() / "ledger.sqlite"


def name_of(run: str | os.PathLike[str]) -> tuple[str, str | None]:
    """'runs/tiny' -> ('tiny', '/abs/runs/tiny'); a bare word that is no folder here -> (word, None)."""
    text = os.fspath(run)
    if os.sep in text or Path(text).is_dir():
        path = Path(text).absolute()
        path = Path(os.path.normpath(path))
        return path.name, str(path)
    return text, None


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the book at `path`, made if absent, in autocommit: whoever writes begins a transaction.

    The file is its owner's alone, as are SQLite's files beside it, which take its mode: it says who asked a server, how
    much, and at what prices. Raises UserError when the file cannot be opened, is no book, or is of a later version.
    """
    try:
        _keep_private(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(f"{path} was written by a later centime (version {version} of the book); upgrade centime.")
        connection.execute("PRAGMA synchronous = NORMAL")  # survives kill -9 at any instant
        connection.execute("PRAGMA wal_autocheckpoint = 32")  # heartbeats rewrite a page or two: a log of 128 KiB
        if version < SCHEMA_VERSION:
            _wal(connection)
            migrate(connection)
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"the ledger {path} cannot be opened ({error}); "
            "mend or move the file, or set CENTIME_HOME to another folder."
        ) from None
    return connection


class Book:
    """The book at `path`, made if absent. Safe for threads and for several processes at once.

    Raises UserError when the file cannot be opened, is no book, or is of a later version.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else default_book_path()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._connection = connect(self.path)
        shared = shared_ledger() if path is None else None  # what was served is there, devices' time is here
        self._serving = cast(sqlite3.Connection, Postgres(shared)) if shared else self._connection

    def close(self) -> None:
        """Close the file. In a forked child the parent's connection is left alone."""
        if os.getpid() == self._pid:
            with self._lock:
                self._connection.close()

    def __enter__(self) -> Book:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, rows: Iterable[Interval]) -> None:
        """Write whole rows, new or known by their id, in one transaction. Raises sqlite3.Error (locked, disk full)."""
        values = [tuple(getattr(row, name) for name in COLUMNS) for row in rows]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_UPSERT, values)
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def remove(self, interval_id: str) -> None:
        """Forget an interval that turned out to be nobody's."""
        with self._lock:
            self._connection.execute("DELETE FROM intervals WHERE id = ?", (interval_id,))

    def intervals(self) -> list[Interval]:
        """Every interval, oldest first; those of dead processes as recovered, even if the book cannot be written."""
        self.settle()
        with self._lock:
            found = self._connection.execute(
                f"SELECT {', '.join(COLUMNS)} FROM intervals ORDER BY wall_start_ns, id"
            ).fetchall()
        return [settled(Interval(*values)) for values in found]

    def settle(self) -> None:
        """Mark the open intervals of dead processes as recovered, for good: after a reboot nobody could tell otherwise.

        A book that cannot be written just now is left as it is; `intervals` sees the same all the same.
        """
        with self._lock, suppress(sqlite3.OperationalError):
            query = f"SELECT {', '.join(COLUMNS)} FROM intervals WHERE state = ?"
            for values in self._connection.execute(query, (OPEN,)).fetchall():
                before = Interval(*values)
                after = settled(before)
                if after.state == RECOVERED:  # unless it has moved meanwhile, and so lives
                    self._connection.execute(
                        "UPDATE intervals SET state = ?, estimated_ns = ? "
                        "WHERE id = ? AND state = ? AND measured_ns = ?",
                        (RECOVERED, after.estimated_ns, after.id, OPEN, before.measured_ns),
                    )

    def served(self) -> list[Served]:
        """Finished requests by hour, key and price list, oldest first."""
        with self._lock:
            return served_rows(self._serving)

    def requests(self) -> Iterator[ServedRequest]:
        """Finished requests one by one, in the order in which they came; read them before the book is closed."""
        with self._lock:
            yield from served_requests(self._serving)

    def tagged(self, by: tuple[str, ...], first: datetime.date, last: datetime.date) -> list[TaggedLine]:
        """What was served from one day to another (UTC), sorted by tags (`tagged.BY`), the dearest first."""
        with self._lock:
            return tagged_lines(self._serving, by, first, last)

    def of_user(self, user: str) -> Iterator[tuple[Any, ...]]:
        """Every request of a user whom clients named, by `people.COLUMNS`; read them before the book is closed."""
        with self._lock:
            yield from rows_of(self._serving, user)

    def erase(self, user: str) -> int:
        """Forget a user's name and tags; how many requests had them. Raises sqlite3.Error (locked, disk full)."""
        with self._lock:
            return erase(self._serving, user)

    def engine_hours(self) -> list[EngineHour]:
        """How engines divided their time, oldest hour first."""
        with self._lock:
            return engine_hours(self._serving)

    def imported(self) -> list[Imported]:
        """What others reported, oldest first."""
        with self._lock:
            return imported_rows(self._connection)

    def take_in(self, rows: Iterable[Imported]) -> tuple[int, int]:
        """Book what others report; the same statement again, or an older one, changes nothing.

        Returns (statements that are new or newer, those that changed nothing). Raises sqlite3.Error.
        """
        with self._lock:
            return write_imported(self._connection, rows)

    @contextmanager
    def metering(self, page: str) -> Iterator[Callable[[], None]]:
        """This process alone meters the engine of a metrics page, until the block ends; what it yields is to be called
        now and then. Raises UserError while another process does, or where the ledger cannot be written."""
        try:
            with self._lock:
                take_lease(self._connection, page)
        except sqlite3.Error as error:
            raise UserError(f"the ledger {self.path} cannot be written ({error}); free its disk.") from None

        def keep() -> None:
            with self._lock, suppress(sqlite3.Error):
                keep_lease(self._connection, page)

        try:
            yield keep
        finally:
            with self._lock, suppress(sqlite3.Error):
                end_lease(self._connection, page)

    def set_plan(self, run: str | os.PathLike[str], plan: dict[str, Any]) -> None:
        """Keep the forecast made before the run's first step, for `bill` to show beside the actual; a later one wins.

        plan: any JSON object; the keys of a bill line (device_hours, cost, tokens, flops, mfu, energy_kwh), `seconds`,
        `currency` and `stages` (a dict of stage to such keys) are set against what was booked.
        """
        name, path = name_of(run)
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?)", (name, path or "", time.time_ns(), json.dumps(plan))
            )

    def plan(self, run: str, run_path: str | None = None) -> dict[str, Any] | None:
        """The plan of a run, the latest if several folders share the name and none is given."""
        query = "SELECT plan FROM plans WHERE run = ? AND (? IS NULL OR run_path = ?) ORDER BY wall_ns DESC LIMIT 1"
        with self._lock:
            row = self._connection.execute(query, (run, run_path, run_path)).fetchone()
        return None if row is None else json.loads(row[0])


def settled(interval: Interval, now_ns: int | None = None) -> Interval:
    """The interval as it stands: an open one whose process is gone is recovered.

    The next heartbeat was due HEARTBEAT_NS after the last and did not come: the process ran on for some part of that,
    and the whole of it is booked, as estimated (less if less time than that has passed).
    """
    if interval.state != OPEN:
        return interval
    now = time.monotonic_ns() if now_ns is None else now_ns
    age = now - (interval.mono_start_ns + interval.measured_ns)
    if alive(Identity(interval.boot, interval.namespace, interval.pid, interval.started), age):
        return interval
    tail = HEARTBEAT_NS if age < 0 else min(HEARTBEAT_NS, age)  # below 0: another boot's clock
    return dataclasses.replace(interval, state=RECOVERED, estimated_ns=tail)


def _keep_private(path: Path) -> None:
    """Make the file 0600 before SQLite makes it as the umask says, a new folder 0700, and narrow an older file of ours.

    Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for each in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with suppress(OSError):  # absent, or on a file system without modes
            found = each.stat()
            if found.st_uid == os.geteuid() and found.st_mode & 0o077:
                each.chmod(0o600)


def _wal(connection: sqlite3.Connection) -> None:
    """Turn WAL on. Two processes that make the book at once: SQLite does not wait for this lock, so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
