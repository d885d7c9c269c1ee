"""Where a vendor's export and the ledger differ, by day and model, and the cause that explains it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centime.catalogue.tariffs import decimal
from centime.ledger.book import Book
from centime.ledger.reconcile.exports import ALL, VendorExport, VendorLine
from centime.ledger.serving import units
from centime.units import format_count, format_money, plural

_TOKENS = ("hit", "miss", "output")
NO_ROW_HERE, NO_ROW_THERE = "missing in the ledger", "missing at the vendor"
ZONE, TOKENS, PRICE, SAME = "time zone", "tokens", "price", ""


@dataclass
class Reconciled:
    """A day of a model, as the vendor has it and as the ledger does; cause: '' where they agree."""

    day: str
    model: str
    currency: str
    vendor: VendorLine
    ledger: VendorLine
    cause: str = SAME

    def as_json(self) -> dict[str, Any]:
        """The line as JSON values; money as exact decimal text, null where it is not told."""
        sides = {"vendor": self.vendor, "ledger": self.ledger}
        return {
            "day": self.day,
            "model": self.model,
            "cause": self.cause or None,
            "currency": self.currency or None,
            **{
                side: {
                    "requests": of.requests,
                    "cached_tokens": of.hit,
                    "computed_tokens": of.miss,
                    "answer_tokens": of.output,
                    "cost": None if of.pico is None else decimal(of.pico),
                }
                for side, of in sides.items()
            },
        }


def reconciled(book: Book, export: VendorExport) -> list[Reconciled]:
    """Every day and model of the export's days, those that the ledger alone has too, in their order.

    A model's difference is of the time zone where its days differ and their sum does not. The rest are of
    rows that one side lacks, of tokens, or of the price where all tokens agree. Amounts agree within a millionth
    of the currency's unit a request, by which vendors round.
    """
    days = [datetime.date.fromisoformat(day) for day, _, _ in export.lines]
    models = any(model != ALL for _, model, _ in export.lines)
    told = {currency for _, _, currency in export.lines if currency}
    ours: dict[tuple[str, str, str], VendorLine] = {}
    for row in book.tagged(("day", "model"), min(days), max(days)):
        day, model = row.by
        if told and row.currency not in told:
            continue
        line = ours.setdefault((day, model if models else ALL, row.currency if told else ""), VendorLine())
        amounts = (row.requests, row.hit_tokens, row.prompt_tokens - row.hit_tokens, row.output_tokens, row.list_pico)
        for name, amount in zip(("requests", *_TOKENS, "pico"), amounts, strict=True):
            line.add(name, amount)
    lines = [
        Reconciled(*key, export.lines.get(key, VendorLine()), ours.get(key, VendorLine()))
        for key in sorted({*export.lines, *ours})
    ]
    for one in lines:
        one.cause = _cause(one.vendor, one.ledger)
    for model in {one.model for one in lines}:
        _of_zone([one for one in lines if one.model == model])
    return lines


def _cause(vendor: VendorLine, ledger: VendorLine) -> str:
    if vendor == VendorLine():
        return NO_ROW_THERE
    if ledger == VendorLine():
        return NO_ROW_HERE
    if any(getattr(vendor, name) not in (None, getattr(ledger, name)) for name in (*_TOKENS, "requests")):
        return TOKENS
    slack = 10**6 * (ledger.requests or 1)
    if vendor.pico is not None and abs(vendor.pico - (ledger.pico or 0)) > slack:
        return PRICE
    return SAME


def _of_zone(lines: list[Reconciled]) -> None:
    """Says so where a model's days differ and all of them together do not: requests near midnight change their day."""
    apart = [line for line in lines if line.cause]
    names = [name for name in (*_TOKENS, "requests", "pico") if any(getattr(line.vendor, name) for line in lines)]
    sums = [
        tuple(sum(getattr(side, name) or 0 for side in sides) for name in names)
        for sides in ([line.vendor for line in lines], [line.ledger for line in lines])
    ]
    if len(apart) > 1 and names and sums[0] == sums[1]:
        for line in apart:
            line.cause = ZONE


def reconciled_table(lines: Iterable[Reconciled], export: VendorExport, source: str) -> RenderableType:
    """The lines that differ, for a terminal, and how many agree."""
    lines = list(lines)
    title = f"{source} ({export.kind}) against the ledger"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("day", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in ("tokens, vendor", "ledger", "cost, vendor", "ledger"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("cause", overflow="fold")
    for line in lines:
        if line.cause:
            cells = [*map(_tokens, (line.vendor, line.ledger)), *(_cost(of, line) for of in (line.vendor, line.ledger))]
            table.add_row(line.day, line.model, *cells, line.cause)
    apart = sum(bool(line.cause) for line in lines)
    said = [f"{plural(len(lines) - apart, 'line')} of {len(lines)} agree."]
    if export.unused:
        said.append(f"Columns that say nothing here: {', '.join(export.unused)}.")
    parts: list[RenderableType] = [table] if apart else [Text(title)]
    return Group(*parts, *(Text(one, style="dim") for one in said))


def _tokens(of: VendorLine) -> str:
    known = [amount for amount in (of.hit, of.miss, of.output) if amount is not None]
    return format_count(sum(known)) if known else ""


def _cost(of: VendorLine, line: Reconciled) -> str:
    return format_money(units(of.pico), line.currency) if of.pico is not None and line.currency else ""
