"""Served requests in the book, summed by hour, key and price list, so that a million of them stay small.

A request is added to its hour when it finishes, in the transaction that charges it. The machine's time is told apart
by the engine's clock: given to requests (finished or not) or idle; `EngineTime` books that, hour by hour. What was
given to requests and is in no finished one belongs to answers that still run or that a kill cut short.

Times are integer device-nanoseconds, money is integer pico-units of its currency.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import time
import uuid
from dataclasses import dataclass

HOUR_NS = 3_600_000_000_000

_NAMED = ("hour", "run", "run_path", "key", "tariff", "currency", "hours")
_SUMMED = (
    "requests", "prompt_tokens", "hit_tokens", "output_tokens", "machine_ns", "hit_pico", "miss_pico", "output_pico",
)  # fmt: skip

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS served (
  hour INTEGER NOT NULL, {", ".join(f"{name} TEXT NOT NULL" for name in _NAMED[1:])},
  {", ".join(f"{name} INTEGER NOT NULL" for name in _SUMMED)}, PRIMARY KEY ({", ".join(_NAMED)})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS engine_time (
  engine TEXT NOT NULL, hour INTEGER NOT NULL, run TEXT NOT NULL, run_path TEXT NOT NULL,
  requests_ns INTEGER NOT NULL, idle_ns INTEGER NOT NULL, PRIMARY KEY (engine, hour)) WITHOUT ROWID;
"""
_ADD = (
    f"INSERT INTO served ({', '.join(_NAMED + _SUMMED)}) VALUES ({', '.join('?' * len(_NAMED + _SUMMED))}) "
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _SUMMED)}"
)


@dataclass(frozen=True)
class Served:
    """Finished requests of one hour, key and price list, and their sums. `hours`: '', 'peak' or 'off-peak'."""

    hour: int  # since the epoch, UTC
    run: str
    run_path: str  # '' without a folder
    key: str  # '' without one
    tariff: str  # '' without a price list
    currency: str
    hours: str
    requests: int
    prompt_tokens: int
    hit_tokens: int  # of the prompt's
    output_tokens: int
    machine_ns: int  # device-nanoseconds
    hit_pico: int  # what the price list asks
    miss_pico: int
    output_pico: int

    @property
    def list_pico(self) -> int:
        """What the price list asks for all of it, in pico-units of `currency`."""
        return self.hit_pico + self.miss_pico + self.output_pico


def hour_of(wall_ns: int) -> int:
    """Whole hours from the epoch to a moment in nanoseconds."""
    return wall_ns // HOUR_NS


def add_served(connection: sqlite3.Connection, row: Served) -> None:
    """Add finished requests to their hour's sums, inside the caller's transaction."""
    connection.execute(_ADD, dataclasses.astuple(row))


@dataclass(frozen=True)
class EngineHour:
    """How one engine divided an hour of its devices' time, in device-nanoseconds."""

    engine: str
    hour: int
    run: str
    run_path: str
    requests_ns: int
    idle_ns: int


class EngineTime:
    """Books what an engine's clock says. Rows are whole statements: writing twice changes nothing."""

    def __init__(self, run: str, run_path: str | None, devices: int = 1) -> None:
        self._run, self._run_path, self._devices = run, run_path or "", devices
        self._engine = uuid.uuid4().hex
        self._hour = -1
        self._before = (0, 0)  # both clocks when the hour began
        self._last = (0, 0)

    def report(
        self, connection: sqlite3.Connection, requests_ns: int, idle_ns: int, wall_ns: int | None = None
    ) -> None:
        """Book the engine's two running totals as they stand now; what passed since the last call is this hour's.

        requests_ns, idle_ns: since the engine started, of the engine (all its devices work at once).
        """
        hour = max(
            self._hour, hour_of(time.time_ns() if wall_ns is None else wall_ns)
        )  # a clock set back changes nothing
        if hour != self._hour:
            self._hour, self._before = hour, self._last
        before = self._last  # totals only grow: a reading that comes late says nothing new
        self._last = (max(before[0], requests_ns), max(before[1], idle_ns))
        requests, idle = ((now - then) * self._devices for now, then in zip(self._last, self._before, strict=True))
        connection.execute(
            "INSERT OR REPLACE INTO engine_time VALUES (?, ?, ?, ?, ?, ?)",
            (self._engine, hour, self._run, self._run_path, requests, idle),
        )


def served_rows(connection: sqlite3.Connection) -> list[Served]:
    """Everything served, oldest hour first."""
    columns = ", ".join(_NAMED + _SUMMED)
    return [Served(*row) for row in connection.execute(f"SELECT {columns} FROM served ORDER BY {', '.join(_NAMED)}")]


def engine_hours(connection: sqlite3.Connection) -> list[EngineHour]:
    """Everything that engines' clocks said, oldest hour first."""
    return [EngineHour(*row) for row in connection.execute("SELECT * FROM engine_time ORDER BY hour, engine")]
