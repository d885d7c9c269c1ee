"""Served requests in the book one by one: when each came, what it asked and was answered, how long, for how much.

Beside the hours' sums (`served`), for what sums cannot say: a trace of the load. A request is about 80
bytes, 30 of them its id: its names stand once in a table of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass

_NAMES = ("run", "run_path", "key", "tariff", "currency")
_FIGURES = (
    "arrived_ns", "prompt_tokens", "hit_tokens", "output_tokens", "first_token_ns", "total_ns", "list_pico",
)  # fmt: skip
_ENERGY = ("measured_uj", "estimated_uj")  # null: nobody knows

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS request_names (
  id INTEGER PRIMARY KEY, {", ".join(f"{name} TEXT NOT NULL" for name in _NAMES)}, UNIQUE ({", ".join(_NAMES)}));
CREATE TABLE IF NOT EXISTS requests (
  names INTEGER NOT NULL, {", ".join(f"{name} INTEGER NOT NULL" for name in _FIGURES)},
  tags INTEGER NOT NULL DEFAULT 0, request_id TEXT NOT NULL DEFAULT '',
  {", ".join(f"{name} INTEGER" for name in _ENERGY)});
"""
ADDED = (  # (table, column, type)
    ("requests", "tags", "INTEGER NOT NULL DEFAULT 0"),  # by version 7
    ("requests", "request_id", "TEXT NOT NULL DEFAULT ''"),  # by version 9
    *(("requests", name, "INTEGER") for name in _ENERGY),  # by version 10
)


@dataclass(frozen=True)
class ServedRequest:
    """A finished request. run, run_path, key, tariff, currency: as in `served.Served`.

    arrived_ns: since the epoch; first_token_ns, total_ns: from then to the first token (0: none came) and to the end;
    list_pico: what the price list asks for it, in pico-units of `currency`; request_id: as its client was told it;
    measured_uj, estimated_uj: its energy in microjoules (energy.use), None where nobody knows.
    """

    run: str
    run_path: str
    key: str
    tariff: str
    currency: str
    arrived_ns: int
    prompt_tokens: int
    hit_tokens: int  # of the prompt's
    output_tokens: int
    first_token_ns: int
    total_ns: int
    list_pico: int
    request_id: str = ""
    measured_uj: int | None = None
    estimated_uj: int | None = None


def add_request(connection: sqlite3.Connection, row: ServedRequest, tags: int = 0) -> None:
    """Add a request, inside the caller's transaction. tags: the number of its tags (`tagged.py`), 0: it has none."""
    values = astuple(row)
    names, figures = values[: len(_NAMES)], values[len(_NAMES) :]  # behind them its id and its energy
    where = " AND ".join(f"{name} = ?" for name in _NAMES)
    found = connection.execute(f"SELECT id FROM request_names WHERE {where}", names).fetchone()
    if found is None:
        marks = ", ".join("?" * len(_NAMES))
        known = connection.execute(
            f"INSERT INTO request_names ({', '.join(_NAMES)}) VALUES ({marks}) RETURNING id", names
        ).fetchone()[0]
    else:
        known = found[0]
    columns = ("names", *_FIGURES, "request_id", *_ENERGY, "tags")
    connection.execute(
        f"INSERT INTO requests ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", (known, *figures, tags)
    )


def served_requests(connection: sqlite3.Connection) -> Iterator[ServedRequest]:
    """Every request, in the order in which they came."""
    columns = ", ".join((*_NAMES, *_FIGURES, "request_id", *_ENERGY))
    source = "requests JOIN request_names ON request_names.id = names ORDER BY arrived_ns"
    for values in connection.execute(f"SELECT {columns} FROM {source}"):
        yield ServedRequest(*values)
