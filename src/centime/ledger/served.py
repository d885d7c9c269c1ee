"""Served requests in the book, summed by hour, key and price list, so that a million of them stay small.

A request is added to its hour when it finishes, in the transaction that charges it. The machine's time is told apart
by the engine's clock: given to requests (finished or not) or idle; `EngineTime` books that, hour by hour. What was
given to requests and is in no finished one belongs to answers that still run or that a kill cut short.

Times are integer device-nanoseconds, money is integer pico-units of its currency, energy is integer microjoules, split
as the time is.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass

from centime.ledger.energy.use import ENERGY_COLUMNS, NO_ENERGY, EnergyUse
from centime.units import HOUR_NS

_NAMED = ("hour", "run", "run_path", "key", "tariff", "currency", "hours")
_SUMMED = (
    "requests", "prompt_tokens", "hit_tokens", "output_tokens", "machine_ns", "hit_pico", "miss_pico", "output_pico",
    *ENERGY_COLUMNS,
)  # fmt: skip
_ENGINE_SUMMED = (
    "requests_ns", "idle_ns", "requests_measured_uj", "requests_estimated_uj", "requests_known_ns", "idle_measured_uj",
    "idle_estimated_uj", "idle_known_ns",
)  # fmt: skip

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS served (
  hour INTEGER NOT NULL, {", ".join(f"{name} TEXT NOT NULL" for name in _NAMED[1:])},
  {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in _SUMMED)},
  PRIMARY KEY ({", ".join(_NAMED)})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS engine_time (
  engine TEXT NOT NULL, hour INTEGER NOT NULL, run TEXT NOT NULL, run_path TEXT NOT NULL,
  {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in _ENGINE_SUMMED)}, PRIMARY KEY (engine, hour))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served_full AS SELECT * FROM served WHERE false;
"""
_COUNT = "INTEGER NOT NULL DEFAULT 0"
ADDED = (  # (table, column, type), by version 10
    *(("served", name, _COUNT) for name in ENERGY_COLUMNS),
    *(("served_full", name, _COUNT) for name in ENERGY_COLUMNS),
    *(("engine_time", name, _COUNT) for name in _ENGINE_SUMMED[2:]),
)
_PUT = (
    f"INSERT INTO served ({', '.join(_NAMED + _SUMMED)}) VALUES ({', '.join('?' * len(_NAMED + _SUMMED))}) "
    f"ON CONFLICT ({', '.join(_NAMED)}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _SUMMED)}"
)
_LINE = " AND ".join(f"{name} = ?" for name in _NAMED)
MOST = 2**63 - 1  # what an integer of SQLite holds; it makes a float of a sum beyond, and so loses its last digits


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
    measured_uj: int = 0  # energy.use.EnergyUse has their meaning
    estimated_uj: int = 0
    known_ns: int = 0

    @property
    def list_pico(self) -> int:
        """What the price list asks for all of it, in pico-units of `currency`."""
        return self.hit_pico + self.miss_pico + self.output_pico


def hour_of(wall_ns: int) -> int:
    """Whole hours from the epoch to a moment in nanoseconds."""
    return wall_ns // HOUR_NS


def add_served(connection: sqlite3.Connection, row: Served) -> None:
    """Add finished requests to their hour's sums, inside the caller's transaction.

    A line whose sums would pass 64 bits (9.2 million of a currency in an hour) is put aside and begun anew.
    """
    values = dataclasses.astuple(row)
    names, added = values[: len(_NAMED)], values[len(_NAMED) :]
    before = connection.execute(f"SELECT {', '.join(_SUMMED)} FROM served WHERE {_LINE}", names).fetchone()
    sums = [new + old for new, old in zip(added, before or [0] * len(added), strict=True)]
    if max(sums) > MOST:
        columns = ", ".join(_NAMED + _SUMMED)
        connection.execute(f"INSERT INTO served_full ({columns}) SELECT {columns} FROM served WHERE {_LINE}", names)
        sums = list(added)
    connection.execute(_PUT, (*names, *sums))


@dataclass(frozen=True)
class EngineHour:
    """How one engine divided an hour of its devices' time and energy, in device-nanoseconds and microjoules."""

    engine: str
    hour: int
    run: str
    run_path: str
    requests_ns: int
    idle_ns: int
    requests_energy: EnergyUse = NO_ENERGY
    idle_energy: EnergyUse = NO_ENERGY


@dataclass(frozen=True)
class EngineTotals:
    """An engine's clocks since it started, given to requests and idle. Energy is of all its devices."""

    requests_ns: int = 0
    idle_ns: int = 0
    requests_energy: EnergyUse = NO_ENERGY
    idle_energy: EnergyUse = NO_ENERGY

    def booked(self) -> tuple[int, ...]:
        """By the columns of the ledger."""
        energies = (dataclasses.astuple(one) for one in (self.requests_energy, self.idle_energy))
        return (self.requests_ns, self.idle_ns, *(value for energy in energies for value in energy))


class EngineTime:
    """Books what an engine's clock says, hour by hour. Safe for threads.

    `read` takes a reading; `write` books every hour whose row does not stand in the ledger as it should, so that a
    ledger that cannot be written, for however long, loses no hour: an hour is known to be booked once a later `write`
    has found it there. Rows are whole statements: writing twice changes nothing.
    """

    def __init__(self, run: str, run_path: str | None, devices: int = 1) -> None:
        self._run, self._run_path, self._devices = run, run_path or "", devices
        self._engine = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._hour: int | None = None  # of the last reading
        self._last = EngineTotals().booked()  # the engine's totals at the last reading, the largest of each
        self._hours: dict[int, tuple[int, ...]] = {}  # of all devices
        self._unbooked: set[int] = set()  # hours that have not been found in the ledger as they are here

    def read(self, totals: EngineTotals, wall_ns: int | None = None) -> None:
        """Adds what came since the last reading to the UTC hour of this one.

        totals: of the engine since it started, its times of one device (all its devices work at once). They only grow:
        a reading that comes late says nothing new. wall_ns: now, by the wall clock; one that is set back a little stays
        in its hour.
        """
        now = hour_of(time.time_ns() if wall_ns is None else wall_ns)
        with self._lock:
            if self._hour is None or now > self._hour or now < self._hour - 1:
                self._hour = now
            before = self._last
            self._last = tuple(map(max, before, totals.booked()))
            times = [self._devices, self._devices, *[1] * (len(before) - 2)]
            sums = self._hours.get(self._hour, (0,) * len(before))
            self._hours[self._hour] = tuple(
                old + (new - was) * count for old, new, was, count in zip(sums, self._last, before, times, strict=True)
            )
            self._unbooked.add(self._hour)

    def write(self, connection: sqlite3.Connection) -> None:
        """Book what has been read, inside the caller's transaction, which need not succeed."""
        columns = ", ".join(_ENGINE_SUMMED)
        update = ", ".join(f"{name} = excluded.{name}" for name in _ENGINE_SUMMED)
        with self._lock:
            for hour in sorted(self._unbooked):
                sums = self._hours[hour]
                booked = connection.execute(
                    f"SELECT {columns} FROM engine_time WHERE engine = ? AND hour = ?", (self._engine, hour)
                ).fetchone()
                if booked == sums:
                    self._unbooked.discard(hour)
                    continue
                values = (self._engine, hour, self._run, self._run_path, *sums)
                connection.execute(
                    f"INSERT INTO engine_time (engine, hour, run, run_path, {columns}) "
                    f"VALUES ({', '.join('?' * len(values))}) ON CONFLICT (engine, hour) DO UPDATE SET {update}",
                    values,
                )


def served_rows(connection: sqlite3.Connection) -> list[Served]:
    """Everything served, oldest hour first. An hour's line may come in several rows: see `add_served`."""
    columns, order = ", ".join(_NAMED + _SUMMED), ", ".join(_NAMED)
    source = f"SELECT {columns} FROM served UNION ALL SELECT {columns} FROM served_full"
    return [Served(*row) for row in connection.execute(f"{source} ORDER BY {order}")]


def engine_hours(connection: sqlite3.Connection) -> list[EngineHour]:
    """Everything that engines' clocks said, oldest hour first."""
    columns = ", ".join(("engine", "hour", "run", "run_path", *_ENGINE_SUMMED))
    found = []
    for engine, hour, run, run_path, requests_ns, idle_ns, *energies in connection.execute(
        f"SELECT {columns} FROM engine_time ORDER BY hour, engine"
    ):
        requests, idle = EnergyUse(*energies[:3]), EnergyUse(*energies[3:])
        found.append(EngineHour(engine, hour, run, run_path, requests_ns, idle_ns, requests, idle))
    return found
