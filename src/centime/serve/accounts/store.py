"""The tables of keys and of what running requests hold, in the ledger's own file.

One file, because a charge, the balance that pays it and the ledger's line of it are one transaction: a process killed
at any instant has committed all three or none.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from centime.ledger.book import connect, default_book_path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
  name TEXT NOT NULL PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,       -- SHA-256 of the secret
  hint TEXT NOT NULL,              -- its last four characters
  created_ns INTEGER NOT NULL, revoked_ns INTEGER,
  tariff TEXT,                     -- JSON; NULL: the server's
  currency TEXT, balance INTEGER,  -- pico-units left; NULL: no budget
  topped_up INTEGER NOT NULL,      -- pico-units put in so far
  per_minute INTEGER, concurrency INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holders (  -- processes that have requests running
  id TEXT NOT NULL PRIMARY KEY, boot TEXT NOT NULL, namespace TEXT NOT NULL, pid INTEGER NOT NULL,
  started INTEGER NOT NULL, seen_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (  -- what a running request could cost at most
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, holder TEXT NOT NULL, pico INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reservations_key ON reservations (key);
CREATE TABLE IF NOT EXISTS arrivals (key TEXT NOT NULL, at_ns INTEGER NOT NULL);  -- of keys with a limit per minute
CREATE INDEX IF NOT EXISTS arrivals_key ON arrivals (key, at_ns);
"""


class Store:
    """A connection to the tables, made if absent. Safe for threads; several processes queue for fractions of a ms.

    Raises UserError when the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else default_book_path()
        self._lock = threading.Lock()
        self._connection = connect(self.path)
        # A charge writes a few pages: tidying the log after 128 KiB, as the meter's heartbeats do, would wait for the
        # disk at every tenth request.
        self._connection.execute("PRAGMA wal_autocheckpoint = 1000")
        if not self.read("SELECT 1 FROM sqlite_master WHERE name = 'arrivals'"):
            with self._lock:
                self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of a query that writes nothing."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other process's interleaves; kept when the block ends, undone when it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
