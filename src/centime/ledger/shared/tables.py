"""The tables of a shared ledger: those of SQLite's file that are about serving, made and brought up to this version."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from centime.errors import UserError
from centime.ledger.requests import ADDED as REQUESTS_ADDED
from centime.ledger.requests import SCHEMA as REQUESTS
from centime.ledger.served import ADDED as SERVED_ADDED
from centime.ledger.served import SCHEMA as SERVED
from centime.ledger.tagged import ADDED as TAGGED_ADDED
from centime.ledger.tagged import SCHEMA as TAGGED

VERSION = 1
_OWN = """
CREATE TABLE IF NOT EXISTS ledger_version (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS booked (reservation INTEGER NOT NULL PRIMARY KEY);
"""


def make_shared(connection: sqlite3.Connection, accounts: str, later: Iterable[tuple[str, str, str]]) -> None:
    """Makes the tables, inside the caller's transaction, and the columns that those of an earlier version lack.

    accounts: the statements of the accounts' tables; later: (table, column, type). Raises UserError for a ledger of a
    later centime.
    """
    for statement in re.sub("--.*", "", f"{_OWN}{SERVED}{REQUESTS}{TAGGED}{accounts}").split(";"):
        if statement.strip():
            connection.execute(statement)
    for table, column, kind in (*SERVED_ADDED, *REQUESTS_ADDED, *TAGGED_ADDED, *later):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {kind}")
    found = connection.execute("SELECT max(version) FROM ledger_version").fetchone()[0]
    if found is not None and found > VERSION:
        raise UserError(f"the shared ledger was made by a later centime (version {found}); upgrade centime.")
    if found is None:
        connection.execute("INSERT INTO ledger_version (version) VALUES (?)", (VERSION,))
