"""What was served, at other prices: beside what it was charged, never in its place.

The amounts in the ledger were frozen when each request ended, and nothing here writes. Only requests that the ledger
keeps one by one can be priced anew.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centime.catalogue.tariffs import Tariff, decimal, tariff_for
from centime.catalogue.tariffs.instants import as_utc, instant_ns
from centime.errors import UserError
from centime.input_files import parse_toml, read_text
from centime.ledger.billing.by_tag import days_of
from centime.ledger.requests import ServedRequest
from centime.ledger.serving import units
from centime.units import format_count, format_money, plural


@dataclass
class RepricedLine:
    """Requests of one price list: what they were charged and what other prices ask, in pico-units."""

    price_list: str  # as it was charged; '' without one
    currency: str
    at: str = ""  # the other prices; '' where there are none
    other_currency: str = ""
    requests: int = 0
    frozen_pico: int = 0
    other_pico: int = 0


class OtherPrices:
    """Prices of a date, or of a file that gives each price list another one. text: as `--reprice` says it.

    Raises UserError for a text that is neither, or prices that are none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._given: dict[str, Tariff] = {}
        self._instant: int | None = None
        self._known: dict[str, Tariff | None] = {}
        if _is_date(text):
            self._instant = instant_ns(text if "T" in text else f"{text}T00:00Z")
            return
        path = Path(text)
        if not path.exists():
            raise UserError(
                f"--reprice {text!r} is neither a date such as 2026-11-01 nor a file that is there; a file has a line "
                'for each price list, such as "deepseek-v4.1-flash" = "0.02,0.10,0.40".'
            )
        for name, value in parse_toml(read_text(path, "a TOML of price lists"), str(path)).items():
            if not isinstance(value, str):
                raise UserError(f"{path}: {name} is {value!r}; give a price list or amounts as text, hit,miss,output.")
            self._given[name] = tariff_for(value)

    def of(self, request: ServedRequest) -> Tariff | None:
        """The list that is asked for a request instead; None where nobody says one. Its hours are the request's own."""
        if request.tariff not in self._known:
            self._known[request.tariff] = self._found(request.tariff)
        return self._known[request.tariff]

    def _found(self, name: str) -> Tariff | None:
        model = name.partition(" (")[0]  # 'deepseek-v4-pro (2026-08-22)': a dated list of a model
        if self._instant is None:
            return self._given.get(name, self._given.get(model))
        if not model or "," in model:  # amounts that somebody gave have no dates
            return None
        try:
            return dataclasses.replace(tariff_for(model).in_force(self._instant), earlier=())
        except UserError:
            return None


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def repriced(requests: Iterable[ServedRequest], other: OtherPrices, month: str | None = None) -> list[RepricedLine]:
    """A line a price list and its other one, of one month (UTC) or of all time, in the order of their names.

    Raises UserError for a month that is none.
    """
    first, last = days_of(month)
    lines: dict[tuple[str, ...], RepricedLine] = {}
    for request in requests:
        if not first <= as_utc(request.arrived_ns).date() <= last:
            continue
        tariff = other.of(request)
        key = (request.tariff, request.currency, *((tariff.name, tariff.currency) if tariff else ("", "")))
        line = lines.setdefault(key, RepricedLine(*key))
        line.requests += 1
        line.frozen_pico += request.list_pico
        if tariff is not None:
            amounts, _ = tariff.at(request.arrived_ns)
            hit = request.hit_tokens
            line.other_pico += (
                hit * amounts.hit
                + (request.prompt_tokens - hit) * amounts.miss
                + request.output_tokens * amounts.output
            )
    return [lines[key] for key in sorted(lines)]


def repriced_json(lines: Iterable[RepricedLine], other: OtherPrices) -> dict[str, Any]:
    """The lines as JSON values; money as exact decimal text, null without a price."""
    return {
        "reprice": other.text,
        "lines": [
            {
                "price_list": line.price_list or None,
                "requests": line.requests,
                "charged": decimal(line.frozen_pico) if line.currency else None,
                "currency": line.currency or None,
                "repriced_by": line.at or None,
                "repriced": decimal(line.other_pico) if line.at else None,
                "repriced_currency": line.other_currency or None,
            }
            for line in lines
        ],
    }


def repriced_table(lines: list[RepricedLine], other: OtherPrices, kept: int) -> RenderableType:
    """The lines for a terminal. kept: requests that the hours' sums count, of which some may not be kept one by one."""
    title = f"What was served, as charged and at the prices of {other.text}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("price list", overflow="fold")
    table.add_column("repriced by", overflow="fold")
    for heading in ("requests", "charged (frozen)", "repriced", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        charged = format_money(units(line.frozen_pico), line.currency) if line.currency else "no price"
        again = format_money(units(line.other_pico), line.other_currency) if line.at else "no other price"
        same = line.at and line.currency == line.other_currency and line.frozen_pico
        change = f"{line.other_pico / line.frozen_pico - 1:+.1%}" if same else ""
        name = line.price_list or "(none)"
        table.add_row(name, line.at or "", format_count(line.requests), charged, again, change)
    said = ["Charged is what the ledger holds, and stays; repriced is a question, and is booked nowhere."]
    older = kept - sum(line.requests for line in lines)
    if older > 0:
        said.append(f"{plural(older, 'request')} of before the ledger kept each by itself: not in these lines.")
    return Group(table, *(Text(one, style="dim") for one in said))
