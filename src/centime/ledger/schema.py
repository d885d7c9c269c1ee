"""The tables of the book, and how those of an earlier version come up to this one."""

from __future__ import annotations

import dataclasses
import sqlite3

from centime.ledger.engines.lease import SCHEMA as LEASE_SCHEMA
from centime.ledger.imported import ADDED as IMPORTED_ADDED
from centime.ledger.imported import SCHEMA as IMPORTED_SCHEMA
from centime.ledger.interval import Interval
from centime.ledger.requests import ADDED as REQUESTS_ADDED
from centime.ledger.requests import SCHEMA as REQUESTS_SCHEMA
from centime.ledger.served import ADDED as SERVED_ADDED
from centime.ledger.served import SCHEMA as SERVED_SCHEMA
from centime.ledger.tagged import ADDED as TAGGED_ADDED
from centime.ledger.tagged import SCHEMA as TAGGED_SCHEMA

SCHEMA_VERSION = 10
_TYPES = {
    "int": "INTEGER NOT NULL",
    "float": "REAL NOT NULL",
    "str": "TEXT NOT NULL",
    "float | None": "REAL",
    "str | None": "TEXT",
}
_ADDED = (  # columns that tables of an earlier version lack: (table, column, type)
    ("intervals", "device_ids", "TEXT NOT NULL DEFAULT ''"),  # by version 4
    *SERVED_ADDED,
    *REQUESTS_ADDED,
    *TAGGED_ADDED,
    *IMPORTED_ADDED,
)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS intervals (
  {", ".join(f"{f.name} {_TYPES[str(f.type)]}" for f in dataclasses.fields(Interval))}, PRIMARY KEY (id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS intervals_run ON intervals (run);
CREATE INDEX IF NOT EXISTS intervals_open ON intervals (state) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS plans (
  run TEXT NOT NULL, run_path TEXT NOT NULL, wall_ns INTEGER NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (run, run_path));
{SERVED_SCHEMA}
{REQUESTS_SCHEMA}
{TAGGED_SCHEMA}
{IMPORTED_SCHEMA}
{LEASE_SCHEMA}
"""


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an earlier version up to this one; another process may be at it too."""
    connection.execute("BEGIN IMMEDIATE")
    for table, column, kind in _ADDED:
        known = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if known and column not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    for statement in f"{_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT".split(";"):
        connection.execute(statement)  # not executescript, which would end the transaction first
