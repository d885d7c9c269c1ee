"""Prices that `centime catalogue update` fetched: $CENTIME_HOME/refreshed/SOURCE.csv, one file a source.

They stand between the user's own prices, which go before them, and the shipped tables, which they add newer rows to.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from centime.catalogue.home import centime_home
from centime.csv_files import Row, read_rows
from centime.errors import UserError

# Where in the world an offer stands, as far as prices are told apart.
AREAS = ("us", "canada", "europe", "asia", "australia", "middle-east", "south-america", "africa")

# source -> the columns of its file: those of the shipped table that it refreshes.
COLUMNS = {
    "skypilot": (
        *("id", "kind", "device", "vcpus", "provider", "date", "per_hour", "currency", "terms", "confidence"),
        "source",
    ),
    "litellm": (
        *("id", "model", "provider", "date", "effective", "hit", "miss", "output", "currency", "terms", "confidence"),
        "source",
    ),
    "epoch": ("device", "purchase_usd", "date", "read", "source"),
}


class Stamp(NamedTuple):
    """What tells whether a file is the one that was read before."""

    path: str
    changed_ns: int
    size: int


def refreshed_path(source: str) -> Path:
    """The file with what was fetched from a source; it need not exist."""
    return centime_home() / "refreshed" / f"{source}.csv"


def stamp(source: str) -> Stamp | None:
    """Which file there is of a source; None without one."""
    path = refreshed_path(source)
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(str(path), found.st_mtime_ns, found.st_size)


def refreshed_rows(source: str) -> tuple[Row, ...]:
    """What was fetched from a source, by the columns of COLUMNS; nothing where nothing was. Raises UserError for a file
    that is not as `update` wrote it."""
    found = stamp(source)
    return () if found is None else _read(source, found)


@functools.lru_cache(maxsize=8)
def _read(source: str, found: Stamp) -> tuple[Row, ...]:
    rows = read_rows(Path(found.path))
    if any(set(row) != set(COLUMNS[source]) or None in row.values() for row in rows):
        raise UserError(
            f"{found.path} is not as `centime catalogue update` writes it; run that again, or delete the file."
        )
    return tuple(rows)
