"""One meter at a time on an engine: a lease in the ledger, so that no hour is booked twice."""

from __future__ import annotations

import sqlite3
import time
from urllib.parse import urlsplit

from centime.errors import UserError
from centime.ledger.engines.engine_device import is_loopback
from centime.ledger.process import Identity, alive, this_process

SCHEMA = """
CREATE TABLE IF NOT EXISTS metered_engines (
  engine TEXT NOT NULL PRIMARY KEY, boot TEXT NOT NULL, namespace TEXT NOT NULL, pid INTEGER NOT NULL,
  started INTEGER NOT NULL, seen_ns INTEGER NOT NULL) WITHOUT ROWID;
"""
_PORTS = {"http": 80, "https": 443}
_WHO = "boot = ? AND namespace = ? AND pid = ? AND started = ?"


def engine_named(page: str) -> str:
    """Host and port of a metrics page: every loopback address is one, whatever it is called."""
    parts = urlsplit(page)
    host = "localhost" if is_loopback(page) else (parts.hostname or "").lower()
    return f"{host}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def take_lease(connection: sqlite3.Connection, page: str) -> None:
    """This process meters the engine from now on. Raises UserError while another one that lives does, sqlite3.Error."""
    engine, me = engine_named(page), this_process()
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute(
            "SELECT boot, namespace, pid, started, seen_ns FROM metered_engines WHERE engine = ?", (engine,)
        ).fetchone()
        if found is not None:
            other, age_ns = Identity(*found[:4]), time.monotonic_ns() - found[4]
            if alive(other, age_ns):
                raise UserError(
                    f"the engine at {engine} is metered already, by process {other.pid}: two meters would book its "
                    "time twice. End that one first."
                )
        connection.execute(
            "INSERT OR REPLACE INTO metered_engines VALUES (?, ?, ?, ?, ?, ?)",
            (engine, me.boot, me.namespace, me.pid, me.started, time.monotonic_ns()),
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def keep_lease(connection: sqlite3.Connection, page: str) -> None:
    """A sign of life, for those who cannot ask for this process. Raises sqlite3.Error."""
    me = this_process()
    connection.execute(
        f"UPDATE metered_engines SET seen_ns = ? WHERE engine = ? AND {_WHO}",
        (time.monotonic_ns(), engine_named(page), me.boot, me.namespace, me.pid, me.started),
    )


def end_lease(connection: sqlite3.Connection, page: str) -> None:
    """Others may meter it. Raises sqlite3.Error."""
    me = this_process()
    connection.execute(
        f"DELETE FROM metered_engines WHERE engine = ? AND {_WHO}",
        (engine_named(page), me.boot, me.namespace, me.pid, me.started),
    )
