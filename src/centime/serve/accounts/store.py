"""The tables of keys and of what running requests hold, in the ledger's own file.

One file, because a charge, the balance that pays it and the ledger's line of it are one transaction: a process killed
at any instant has committed all three or none.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from centime.addresses import shown_address
from centime.catalogue.tariffs import Tariff
from centime.errors import UserError
from centime.ledger.book import BUSY_SECONDS, connect, default_book_path
from centime.ledger.shared import LedgerLost, Postgres, shared_ledger
from centime.ledger.shared.tables import make_shared
from centime.serve.accounts.access.access_tables import SCHEMA as ACCESS_SCHEMA
from centime.serve.accounts.budgets.tables import SCHEMA as BUDGETS_SCHEMA

LOWEST = -(2**63)  # what an integer of SQLite holds
STUCK_MS = 100  # how long a ledger is waited for that was just waited for in vain

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
  name TEXT NOT NULL PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,       -- SHA-256 of the secret
  hint TEXT NOT NULL,              -- its last four characters
  created_ns INTEGER NOT NULL, revoked_ns INTEGER,
  tariff TEXT,                     -- JSON; NULL: the server's
  currency TEXT, balance INTEGER,  -- pico-units left; NULL: no budget
  topped_up INTEGER NOT NULL,      -- pico-units put in so far
  per_minute INTEGER, concurrency INTEGER,
  place TEXT NOT NULL DEFAULT '')  -- 'organisation/team', 'organisation' or ''
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holders (  -- processes that have requests running
  id TEXT NOT NULL PRIMARY KEY, boot TEXT NOT NULL, namespace TEXT NOT NULL, pid INTEGER NOT NULL,
  started INTEGER NOT NULL, seen_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (  -- what a running request could cost at most
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, holder TEXT NOT NULL, pico INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reservations_key ON reservations (key);
CREATE TABLE IF NOT EXISTS arrivals (key TEXT NOT NULL, at_ns INTEGER NOT NULL);  -- of keys with a limit per minute
CREATE INDEX IF NOT EXISTS arrivals_key ON arrivals (key, at_ns);
CREATE TABLE IF NOT EXISTS price_lists (  -- of the servers of each run, as the last of them started
  run TEXT NOT NULL, run_path TEXT NOT NULL, name TEXT NOT NULL, currency TEXT NOT NULL,
  PRIMARY KEY (run, run_path)) WITHOUT ROWID;
"""
_LATER = (("keys", "place", "TEXT NOT NULL DEFAULT ''"),)  # columns that earlier versions of these tables lack


class Store:
    """The tables, made if absent, through one connection that writes and one that reads, so that nobody who only looks
    waits for the ledger to be writable. Safe for threads; several processes queue for fractions of a ms.

    Raises UserError when the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        self._stuck = False  # the last write did not come about
        self._writer: int | None = None  # the thread whose transaction is open
        shared = shared_ledger() if path is None else None
        if shared is not None:
            self._open_shared(shared)
            return
        self.path = Path(path) if path is not None else default_book_path()
        self._connection = connect(self.path)
        # A charge writes a few pages: tidying the log after 128 KiB, as the meter's heartbeats do, would wait for the
        # disk at every tenth request.
        self._connection.execute("PRAGMA wal_autocheckpoint = 1000")
        self._reader = connect(self.path)
        if not self.read("SELECT 1 FROM sqlite_master WHERE name = 'audit'"):
            with self._lock:
                self._connection.execute("BEGIN IMMEDIATE")
                _make(self._connection)
                self._connection.execute("COMMIT")

    def _open_shared(self, url: str) -> None:
        """The same tables in a database that machines share. Raises UserError where it cannot be reached."""
        self.path = Path(shown_address(url))
        self._connection, self._reader = (cast(sqlite3.Connection, Postgres(url)) for _ in range(2))
        try:
            with self.writing() as connection:
                make_shared(connection, f"{_SCHEMA}{BUDGETS_SCHEMA}{ACCESS_SCHEMA}", _LATER)
        except LedgerLost as error:
            raise UserError(f"the ledger {shown_address(url)} cannot be reached ({error}).") from None

    def read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of a query that writes nothing."""
        if self._writer == threading.get_ident():
            return self._connection.execute(query, values).fetchall()
        with self._read_lock:
            return self._reader.execute(query, values).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Several queries of one moment; inside `writing` they see what that has written."""
        if self._writer == threading.get_ident():
            yield self._connection
            return
        with self._read_lock:
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other process's interleaves; kept when the block ends, undone when it raises. A block
        inside another of the same thread is part of it.

        Raises sqlite3.OperationalError after BUSY_SECONDS of a locked file; after that soon, until it is free: all who
        write queue here, and each would wait as long again.
        """
        if self._writer == threading.get_ident():
            yield self._connection
            return
        with self._lock:
            self._begin()
            self._writer = threading.get_ident()
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._writer = None

    def _begin(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            if not self._stuck:
                self._stuck = True
                self._connection.execute(f"PRAGMA busy_timeout = {STUCK_MS}")
            raise
        if self._stuck:
            self._stuck = False
            self._connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._read_lock:
            self._connection.close()
            self._reader.close()


def _make(connection: sqlite3.Connection) -> None:
    """The tables, and what those of an earlier version lack, inside the caller's transaction."""
    for statement in re.sub("--.*", "", f"{_SCHEMA}{BUDGETS_SCHEMA}{ACCESS_SCHEMA}").split(";"):
        connection.execute(statement)  # not executescript, which would end the transaction first
    for table, column, kind in _LATER:
        if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def set_price_list(connection: sqlite3.Connection, run: str, run_path: str, tariff: Tariff | None) -> None:
    """A server of this run starts with these prices."""
    connection.execute("DELETE FROM price_lists WHERE run = ? AND run_path = ?", (run, run_path))
    if tariff is not None:
        connection.execute("INSERT INTO price_lists VALUES (?, ?, ?, ?)", (run, run_path, tariff.name, tariff.currency))


def server_currencies(connection: sqlite3.Connection) -> dict[str, str]:
    """Currencies that servers on this ledger ask, as each was last started, with one of the servers' runs."""
    return dict(connection.execute("SELECT currency, run FROM price_lists ORDER BY run DESC").fetchall())
