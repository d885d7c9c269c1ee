"""What others report: statements of servers, clusters and clouds, kept apart from what centime measured.

A statement says everything about one thing up to a moment (a server since its start, a job, a charge), under an id
that is the same whenever it is made again. The later one wins, so that importing twice changes nothing.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from centime.ledger.energy.use import ENERGY_COLUMNS, NO_ENERGY, EnergyUse
from centime.ledger.serving import units
from centime.units import HOUR_NS


@dataclass(frozen=True)
class Imported:
    """One statement. Money is in pico-units, as text in the book: a cloud's charge may pass 64 bits of them."""

    id: str
    source: str  # vllm, sglang, slurm, focus, meter
    origin: str  # the file or URL it was read from
    name: str  # what it is about: a model, a job, a service
    start_ns: int  # wall clock; 0 where the source does not say
    end_ns: int  # up to when it speaks
    device: str = ""
    device_ns: int = 0  # device-nanoseconds; 0 where the source does not say
    requests: int = 0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    output_tokens: int = 0
    cost_pico: int | None = None
    cost_currency: str = ""
    cost_source: str = ""  # reported, given, overlay, catalogue, assumed
    tariff: str = ""
    list_pico: int | None = None
    currency: str = ""  # of the price list
    counts_up: bool = False  # counters without a start: smaller than before means that their server began anew
    measured_uj: int = 0  # energy.use.EnergyUse has their meaning
    estimated_uj: int = 0
    known_ns: int = 0


_MONEY = ("cost_pico", "list_pico")
_NAMES = [field.name for field in dataclasses.fields(Imported)]
_TYPES = {"str": "TEXT NOT NULL", "int": "INTEGER NOT NULL", "int | None": "TEXT", "bool": "INTEGER NOT NULL"}
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS imported ("
    + ", ".join(f"{f.name} {_TYPES[str(f.type)]}" for f in dataclasses.fields(Imported))
    + ", PRIMARY KEY (id)) WITHOUT ROWID;"
)
ADDED = tuple(("imported", name, "INTEGER NOT NULL DEFAULT 0") for name in ENERGY_COLUMNS)  # by version 10


def imported_rows(connection: sqlite3.Connection) -> list[Imported]:
    """Every statement, oldest first."""
    found = connection.execute(f"SELECT {', '.join(_NAMES)} FROM imported ORDER BY start_ns, id")
    return [_row(values) for values in found]


def write_imported(connection: sqlite3.Connection, rows: Iterable[Imported]) -> tuple[int, int]:
    """(statements that are new or newer, those that changed nothing), in one transaction."""
    written = unchanged = 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        for row in rows:
            placed = _placed(row, _known(connection, row.id))
            if placed is None:
                unchanged += 1
                continue
            values = [
                str(value) if name in _MONEY and value is not None else value
                for name, value in dataclasses.asdict(placed).items()
            ]
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT OR REPLACE INTO imported ({', '.join(_NAMES)}) VALUES ({marks})", values)
            written += 1
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return written, unchanged


def _placed(row: Imported, known: list[Imported]) -> Imported | None:
    """The statement under the id that it belongs to, of those `known` by the same id and a number; None if nothing new.

    A number is another thing: a server that began anew, or a second one that began in the same tick of the clock.
    """
    same = [other for other in known if _same(row, other)]
    if not same:
        numbers = [int(other.id[len(row.id) + 1 :] or 1) for other in known]
        return dataclasses.replace(row, id=f"{row.id}#{max(numbers) + 1}") if numbers else row
    before = max(same, key=lambda one: (one.origin == row.origin, one.end_ns if row.counts_up else one.requests))
    origin = before.origin if _place(before.origin) and not _place(row.origin) else row.origin
    placed = dataclasses.replace(row, id=before.id, origin=origin)
    older = row.end_ns < before.end_ns
    return None if older or placed == dataclasses.replace(before, origin=origin) else placed


def _same(row: Imported, other: Imported) -> bool:
    """Whether two statements of one id are of one thing: a server has one host and port, where both are known, and
    its counters only grow; a job keeps its name, and its time only grows. A charge, and a part of an hour that was
    metered, may be corrected to anything."""
    if row.source in ("focus", "meter"):  # their ids say it all
        return True
    job = row.source == "slurm"
    grows = ["device_ns"] if job else ["requests", "prompt_tokens", "hit_tokens", "output_tokens"]
    mine, theirs = (row.name, other.name) if job else (_place(row.origin), _place(other.origin))
    if mine is not None and theirs is not None and mine != theirs:
        return False
    first = [getattr(row, name) for name in grows]
    second = [getattr(other, name) for name in grows]
    grown = all(a <= b for a, b in zip(first, second, strict=True))
    shrunk = all(a >= b for a, b in zip(first, second, strict=True))
    return (grown and row.end_ns <= other.end_ns) or (shrunk and row.end_ns >= other.end_ns)


def _place(origin: str) -> str | None:
    """Host and port of a URL; None for a file, which may be anybody's page."""
    return urlsplit(origin).netloc if origin.startswith(("http://", "https://")) else None


def _known(connection: sqlite3.Connection, statement: str) -> list[Imported]:
    """The statements under this id, and under it with a number."""
    found = connection.execute(
        f"SELECT {', '.join(_NAMES)} FROM imported WHERE id = ? OR (id > ? AND id < ?)",
        (statement, f"{statement}#", f"{statement}$"),
    )
    return [_row(values) for values in found]


def _row(values: tuple[Any, ...]) -> Imported:
    given = dict(zip(_NAMES, values, strict=True))
    for name in _MONEY:
        given[name] = None if given[name] is None else int(given[name])
    return Imported(**{**given, "counts_up": bool(given["counts_up"])})


@dataclass
class ImportedLine:
    """Statements of one source about one thing, on one device, in one currency, summed."""

    source: str
    name: str
    device: str
    cost_currency: str
    currency: str
    statements: int = 0
    device_ns: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    output_tokens: int = 0
    cost_pico: int | None = None
    list_pico: int | None = None
    unpriced: int = 0  # statements without a cost
    energy: EnergyUse = NO_ENERGY

    def add(self, row: Imported) -> None:
        """Sum a statement in."""
        self.statements += 1
        for name in ("device_ns", "requests", "prompt_tokens", "hit_tokens", "output_tokens"):
            setattr(self, name, getattr(self, name) + getattr(row, name))
        self.energy += EnergyUse(row.measured_uj, row.estimated_uj, row.known_ns)
        if row.cost_pico is None:
            self.unpriced += 1
        else:
            self.cost_pico = (self.cost_pico or 0) + row.cost_pico
        if row.list_pico is not None:
            self.list_pico = (self.list_pico or 0) + row.list_pico

    def as_json(self) -> dict[str, Any]:
        """The line as `centime bill --json` prints it (docs/bill.md names the keys)."""
        return {
            "source": self.source,
            "name": self.name,
            "device": self.device or None,
            "statements": self.statements,
            "device_hours": self.device_ns / HOUR_NS,
            "device_ns": self.device_ns,
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "hit_tokens": self.hit_tokens,
            "output_tokens": self.output_tokens,
            "cost": None if self.cost_pico is None else units(self.cost_pico),
            "cost_currency": self.cost_currency or None,
            "list_price": None if self.list_pico is None else units(self.list_pico),
            "currency": self.currency or None,
            **self.energy.as_json(),
            "imported": True,
        }


def imported_lines(rows: Iterable[Imported]) -> list[ImportedLine]:
    """The statements in the order of sources and names."""
    lines: dict[tuple[str, ...], ImportedLine] = {}
    for row in rows:
        key = (row.source, row.name, row.device, row.cost_currency, row.currency)
        lines.setdefault(key, ImportedLine(*key)).add(row)
    return [lines[key] for key in sorted(lines)]
