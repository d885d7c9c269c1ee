"""Served requests summed by day and tag, so that a year of a million requests a day is asked in a moment.

Beside each request's own row (`requests`), which keeps the session and all further tags too. How many different values
of a tag one key may bring a month is limited: later ones are counted together, as OTHER.
"""

from __future__ import annotations

import datetime
import sqlite3
from dataclasses import dataclass, replace

from centime.ledger.energy.use import ENERGY_COLUMNS, NO_ENERGY, EnergyUse
from centime.ledger.served import MOST, Served
from centime.ledger.tags import OTHER, TAG_NAMES, RequestTags

DAY_HOURS = 24
MOST_VALUES = 10_000  # different ones of one tag, of one key, in a month
_LIMITED = ("user", "session", "team", "model", "feature", "other")
_NAMES = ("organisation", "team", "key", "user", "model", "feature", "run", "price_list", "currency")
_COLUMNS = ("day", *(f"by_{name}" for name in _NAMES))
SUMS = ("requests", "prompt_tokens", "hit_tokens", "output_tokens", "machine_ns", "list_pico", *ENERGY_COLUMNS)
_TAG_COLUMNS = tuple(f"by_{name}" for name in TAG_NAMES)
BY = ("day", *_NAMES[:-1])  # what a bill is sorted by

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS request_tags (
  id INTEGER PRIMARY KEY, {", ".join(f"{name} TEXT NOT NULL" for name in _TAG_COLUMNS)},
  UNIQUE ({", ".join(_TAG_COLUMNS)}));
CREATE INDEX IF NOT EXISTS request_tags_user ON request_tags (by_user);
CREATE TABLE IF NOT EXISTS tag_values (
  by_key TEXT NOT NULL, tag TEXT NOT NULL, month INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (by_key, tag, month, value));
CREATE TABLE IF NOT EXISTS tagged (
  day INTEGER NOT NULL, {", ".join(f"{name} TEXT NOT NULL" for name in _COLUMNS[1:])},
  {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in SUMS)}, PRIMARY KEY ({", ".join(_COLUMNS)}));
"""
ADDED = tuple(("tagged", name, "INTEGER NOT NULL DEFAULT 0") for name in ENERGY_COLUMNS)  # by version 10


@dataclass(frozen=True)
class TaggedLine:
    """Sums of the requests that share what a bill is sorted by. by: its values, in the order asked; pico-units."""

    by: tuple[str, ...]
    currency: str
    requests: int
    prompt_tokens: int
    hit_tokens: int
    output_tokens: int
    machine_ns: int
    list_pico: int
    energy: EnergyUse = NO_ENERGY


def add_tagged(connection: sqlite3.Connection, row: Served, place: str, tags: RequestTags) -> int:
    """Add a request to its day's sums, inside the caller's transaction; the number that its own row has for its tags.

    place: where its key stands. A sum that would pass 64 bits stays at the last that fits.
    """
    organisation, _, team = place.partition("/")
    kept = _within_quota(connection, row, tags)
    names = (
        row.hour // DAY_HOURS, organisation, team or kept.team, row.key, kept.user, kept.model, kept.feature, row.run,
        row.tariff, row.currency,
    )  # fmt: skip
    added = (
        row.requests, row.prompt_tokens, row.hit_tokens, row.output_tokens, row.machine_ns, row.list_pico,
        row.measured_uj, row.estimated_uj, row.known_ns,
    )  # fmt: skip
    update = ", ".join(map(_added, SUMS))
    marks = ", ".join("?" * (len(names) + len(added)))
    connection.execute(
        f"INSERT INTO tagged ({', '.join(_COLUMNS + SUMS)}) VALUES ({marks}) "
        f"ON CONFLICT ({', '.join(_COLUMNS)}) DO UPDATE SET {update}",
        (*names, *added),
    )
    return _number(connection, kept)


def _added(name: str) -> str:
    sum_ = f"tagged.{name} + excluded.{name}"
    return f"{name} = CASE WHEN tagged.{name} > {MOST} - excluded.{name} THEN {MOST} ELSE {sum_} END"


def tagged_lines(
    connection: sqlite3.Connection, by: tuple[str, ...], first: datetime.date, last: datetime.date
) -> list[TaggedLine]:
    """The sums from one day to another, both included (UTC), the dearest first. by: of BY."""
    columns = ["day" if name == "day" else f"by_{name}" for name in by]
    # in halves, which are added up here: SQLite's sum ends at 64 bits
    sums = ", ".join(f"sum({name} / 4294967296), sum({name} % 4294967296)" for name in SUMS)
    rows = connection.execute(
        f"SELECT {', '.join([*columns, 'by_currency'])}, {sums} FROM tagged WHERE day BETWEEN ? AND ? "
        f"GROUP BY {', '.join([*columns, 'by_currency'])}",
        (_day(first), _day(last)),
    ).fetchall()
    found = []
    for row in rows:
        values, (currency, *halves) = row[: len(by)], row[len(by) :]
        whole = [int(high) * 2**32 + int(low) for high, low in zip(halves[::2], halves[1::2], strict=True)]
        shown = tuple(
            date_of(value).isoformat() if name == "day" else value for name, value in zip(by, values, strict=True)
        )
        requests, prompt, hits, output, machine_ns, list_pico, *energy = whole
        found.append(
            TaggedLine(shown, currency, requests, prompt, hits, output, machine_ns, list_pico, EnergyUse(*energy))
        )
    return sorted(found, key=lambda line: (-line.list_pico, line.by))


def date_of(day: int) -> datetime.date:
    """Days since the epoch as a date."""
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day)


def _day(date: datetime.date) -> int:
    return (date - datetime.date(1970, 1, 1)).days


def _within_quota(connection: sqlite3.Connection, row: Served, tags: RequestTags) -> RequestTags:
    date = date_of(row.hour // DAY_HOURS)
    month = date.year * 12 + date.month
    over: dict[str, str] = {}
    for name in _LIMITED:
        value = getattr(tags, name)
        if value and not _counted(connection, (row.key, name, month), value):
            over[name] = OTHER
    return replace(tags, **over) if over else tags


def _counted(connection: sqlite3.Connection, which: tuple[str, str, int], value: str) -> bool:
    """Whether a value is one of those that the key may bring this month; it is from now on where there is room."""
    where = "by_key = ? AND tag = ? AND month = ?"
    if connection.execute(f"SELECT 1 FROM tag_values WHERE {where} AND value = ?", (*which, value)).fetchone():
        return True
    (count,) = connection.execute(f"SELECT count(*) FROM tag_values WHERE {where}", which).fetchone()
    if count >= MOST_VALUES:
        return False
    connection.execute("INSERT INTO tag_values (by_key, tag, month, value) VALUES (?, ?, ?, ?)", (*which, value))
    return True


def _number(connection: sqlite3.Connection, tags: RequestTags) -> int:
    values = tuple(getattr(tags, name) for name in TAG_NAMES)
    if not any(values):
        return 0
    where = " AND ".join(f"{name} = ?" for name in _TAG_COLUMNS)
    found = connection.execute(f"SELECT id FROM request_tags WHERE {where}", values).fetchone()
    if found is None:
        marks = ", ".join("?" * len(values))
        found = connection.execute(
            f"INSERT INTO request_tags ({', '.join(_TAG_COLUMNS)}) VALUES ({marks}) RETURNING id", values
        ).fetchone()
    return int(found[0])
