"""The bill of what was served, sorted by tags: who spent it, on which model, for what."""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centime.catalogue.tariffs import decimal
from centime.errors import UserError, nearest
from centime.files.output import Output
from centime.ledger.book import Book
from centime.ledger.energy import Footprint
from centime.ledger.people import COLUMNS
from centime.ledger.serving import units
from centime.ledger.tagged import BY, TaggedLine
from centime.units import format_count, format_money

NOBODY = "(none)"


def names_of(text: str) -> tuple[str, ...]:
    """'team,user' -> ('team', 'user'). Raises UserError for what a bill cannot be sorted by."""
    names = tuple(word.strip() for word in text.split(",") if word.strip())
    for name in names:
        if name not in BY:
            raise UserError(f"--by {name!r} is nothing to sort by; give some of {', '.join(BY)}.{nearest(name, BY)}")
    if not names or len(set(names)) < len(names):
        raise UserError(f"--by {text!r} names {'nothing' if not names else 'one twice'}; give some of {', '.join(BY)}.")
    return names


def days_of(month: str | None) -> tuple[datetime.date, datetime.date]:
    """The first and the last day of '2026-11' (UTC); of all there is without one. Raises UserError for no month."""
    if month is None:
        return datetime.date(1970, 1, 1), datetime.date.max
    try:
        if not re.fullmatch(r"\d{4}-\d{2}", month, re.ASCII):
            raise ValueError(month)
        first = datetime.date.fromisoformat(f"{month}-01")
    except ValueError:
        raise UserError(f"--month {month!r} is no month; give one such as 2026-11.") from None
    after = (first.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)
    return first, after - datetime.timedelta(days=1)


def lines_by(book: Book, by: str, month: str | None = None) -> tuple[tuple[str, ...], list[TaggedLine]]:
    """(what it is sorted by, its lines, the dearest first). Raises UserError for names or a month that are none."""
    names = names_of(by)
    return names, book.tagged(names, *days_of(month))


def as_json(names: Sequence[str], lines: Sequence[TaggedLine], footprint: Footprint) -> list[dict[str, Any]]:
    """The lines as JSON values; money as exact decimal strings, null without a price list."""
    return [
        dict(zip(names, line.by, strict=True))
        | {
            "requests": line.requests,
            "prompt_tokens": line.prompt_tokens,
            "cached_tokens": line.hit_tokens,
            "answer_tokens": line.output_tokens,
            "machine_ns": line.machine_ns,
            **line.energy.as_json(),
            "carbon_grams": footprint.grams(line.energy.kwh),
            "price": decimal(line.list_pico) if line.currency else None,
            "currency": line.currency or None,
        }
        for line in lines
    ]


def table_by(names: Sequence[str], lines: Sequence[TaggedLine], footprint: Footprint) -> RenderableType:
    """The lines for a terminal, and what their carbon is counted by, where anybody said."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    carbon = footprint.grid is not None
    for name in ("requests", "prompt", "cached", "output", "energy", *(["CO2e"] if carbon else []), "list price"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        counts = (line.requests, line.prompt_tokens, line.hit_tokens, line.output_tokens)
        price = format_money(units(line.list_pico), line.currency) if line.currency else "no price"
        energy = line.energy.text(line.machine_ns)
        grams = [footprint.text(line.energy.kwh) + ("~" if line.energy.estimated_uj else "")] if carbon else []
        table.add_row(*(value or NOBODY for value in line.by), *map(format_count, counts), energy, *grams, price)
    words = [f"CO2e: energy at {footprint.grid}."] if carbon else []
    if any(line.energy.estimated_uj for line in lines):
        words.append("~ estimated from power at full load: an upper bound.")
    return Group(table, *(Text(word, style="dim") for word in words))


def write_user(book: Book, user: str, path: Path) -> int:
    """Write every request of a user to `path`, in the order in which they came; returns how many.

    The file appears whole or not at all. Raises UserError for a user that the ledger does not know, or a file that
    cannot be written.
    """
    with Output(path, "a user's requests", "name another --out", _is_ours).written() as partial:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            written = 0
            for row in book.of_user(user):
                writer.writerow(row)
                written += 1
        if not written:
            raise UserError(f"the ledger has no request of a user {user!r}; `centime bill --by user` lists them.")
    return written


def _is_ours(path: Path) -> bool:
    """Whether a CSV has these columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(next(csv.reader(file), [])) == COLUMNS
