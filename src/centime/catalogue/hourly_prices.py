"""What an hour of a chip costs at a date: the price that a plan multiplies by, and the spread of offers around it.

`centime.catalogue.prices` finds the price of the machine in hand today; here a plan asks about any chip and any date,
and always gets an answer that says what it is: given, the user's own, a dated catalogue figure, or assumed.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from centime.catalogue.chips import Chip, chip, words
from centime.catalogue.prices import (
    Price,
    catalogue_rows,
    cited,
    day,
    first_day,
    overlay_path,
    price_given,
    read_overlay,
    refreshed_prices,
)
from centime.catalogue.refreshed import AREAS, Stamp, stamp
from centime.csv_files import read_rows
from centime.errors import UserError, nearest
from centime.messages import Said, said

HISTORY = Path(__file__).parent / "price_history.csv"

# The chip whose market rent and purchase price are both known, to which others without a rent are held.
_REFERENCE = "H100 SXM 80GB"


@dataclass(frozen=True)
class _Dated:
    kind: str  # median, rental, history, tco hyperscaler, tco neocloud, 3 years, spot; in europe, spot in europe, ...:
    # offers there; as: what the chip in `provider` costs
    provider: str
    date: str
    per_hour: float
    terms: str
    confidence: str
    cite: str


def _dated(name: str) -> tuple[_Dated, ...]:
    """Every dated figure of a chip, oldest first."""
    return _dated_with(name, stamp("skypilot"))


@functools.lru_cache(maxsize=1024)
def _dated_with(name: str, _fetched: Stamp | None) -> tuple[_Dated, ...]:
    rows = [
        _Dated(row.kind, row.provider, row.date, row.per_hour, row.terms, row.confidence, cited(row.id, row.source))
        for row in (*catalogue_rows(), *refreshed_prices())
        if row.device == name
    ]
    rows += [
        _Dated(row["kind"], row["provider"], row["date"], float(row["per_hour"]), row["terms"], row["confidence"],
               cited(row["id"], row["source"]))
        for row in read_rows(HISTORY)
        if row["device"] == name
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: first_day(row.date)))


ON_DEMAND = "on-demand"
MARKETS = {ON_DEMAND: "", "reserved": "3 years", "spot": "spot"}  # how chips are rented -> the kind of its rows


def check_market(market: str) -> None:
    """Raises UserError on a word that is none of MARKETS."""
    if market not in MARKETS:
        raise UserError(f"--market {market!r} is none of {', '.join(MARKETS)}.{nearest(market, MARKETS)}")


def check_area(area: str | None, market: str, given: str | None) -> None:
    """Raises UserError on a word that is none of AREAS, and on one beside what has no regions."""
    if area is None:
        return
    if area not in AREAS:
        raise UserError(f"--price-region {area!r} is none of {', '.join(AREAS)}.{nearest(area, AREAS)}")
    if given is not None or market == "reserved":
        other = "--price" if given is not None else f"--market {market}"
        raise UserError(f"--price-region is of the catalogue's prices on demand and spot; beside {other} leave it out.")


def gpu_hour(
    found: Chip,
    date: str | None = None,
    given: str | None = None,
    market: str = ON_DEMAND,
    area: str | None = None,
) -> Price:
    """The price of an hour of a chip in force on `date` (None: the newest known).

    Order: `given` ('$2/h'), which is of `date`; the user's own table; the newest median or market figure (a primary or
    a fetched one where there is one) or lower median of offers not after `date`, or the first of them if all are later;
    the same of the chip that stands for this one; a rent that the chip's own row states; an owner's cost; at last the
    purchase price at the ratio of rent to purchase of an H100, assumed. Raises UserError where none of these is known,
    or `date` is none. market: of `reserved` and `spot` the rent of that kind alone, where nothing is given; area: what
    offers in that part of the world (AREAS) ask, on demand or spot, and nothing else.
    """
    check_area(area, market, given)
    check_market(market)
    if date:
        day(date)
    if given is not None:
        price = price_given(given)
        return replace(price, date=date) if date else price
    if area is not None:
        return _within(found, area, date, market)
    if market != ON_DEMAND:
        return _of_market(found, market, date)
    path = overlay_path()
    if path.exists():
        for row in read_overlay(path):
            if row.device == found.name or words(row.device) <= words(found.name):
                return Price(row.per_hour, row.currency, row.date, row.source or str(path), "overlay", row.device)
    return _market(found, date) or _like(found, date) or _stated(found) or _owned(found) or _from_purchase(found)


def _of_market(found: Chip, market: str, date: str | None) -> Price:
    """The rent of a chip under a long contract, or of what may be taken back. Raises UserError where none is known."""
    rows = [row for row in _dated(found.name) if row.kind == MARKETS[market]]
    if not rows:
        priced = [row["device"] for row in read_rows(HISTORY) if row["kind"] == MARKETS[market]]
        raise UserError(
            f"No {market} price of an hour is known for {found.name}; known are those of "
            f"{', '.join(dict.fromkeys(priced))}. Give one with --price '$2/h'."
        )
    row = _lower_median(_in_force(rows, date))
    note = said("{device}, {provider}, {terms}", device=found.name, provider=said(row.provider), terms=said(row.terms))
    return Price(row.per_hour, "USD", row.date, row.cite, "catalogue", note)


def _within(found: Chip, area: str, date: str | None, market: str) -> Price:
    """What offers in a part of the world ask. Raises UserError where none is known."""
    kind = f"{MARKETS[market]} in {area}".strip()
    rows = [row for row in _dated(found.name) if row.kind == kind]
    spot = "spot " if market == "spot" else ""
    if not rows:
        kinds = {row.kind for row in _dated(found.name)}
        there = [one for one in AREAS if f"{MARKETS[market]} in {one}".strip() in kinds]
        known = (
            f"known are those in {', '.join(there)}" if there else "none that its source places in a region is known"
        )
        raise UserError(
            f"No {spot}price of an hour in {area} is known for {found.name}; {known}. `centime catalogue update "
            "--source skypilot` fetches prices by region; or give one with --price '$2/h'."
        )
    row = _lower_median(_in_force(rows, date))
    parts = {"device": found.name, "provider": said(row.provider), "area": said(area)}
    note = said("{device}, {provider}, spot in {area}" if spot else "{device}, {provider}, in {area}", **parts)
    return Price(row.per_hour, "USD", row.date, row.cite, "catalogue", note)


def _in_force(rows: list[_Dated], date: str | None) -> list[_Dated]:
    """The newest of the rows that are not after `date`; the first of all where every one is later. rows: by date."""
    limit = day(date) if date else datetime.date.max
    pool = [row for row in rows if first_day(row.date) <= limit] or [row for row in rows if row.date == rows[0].date]
    return [row for row in pool if row.date == pool[-1].date]


def _lower_median(rows: list[_Dated]) -> _Dated:
    """A price that somebody really asks: never the mean of two."""
    return sorted(rows, key=lambda row: row.per_hour)[(len(rows) - 1) // 2]


def _market(found: Chip, date: str | None) -> Price | None:
    rows = [row for row in _dated(found.name) if row.kind in ("median", "history", "rental")]
    if not rows:
        return None
    limit = day(date) if date else datetime.date.max
    before = [row for row in rows if first_day(row.date) <= limit]
    pool = before or [row for row in rows if row.date == rows[0].date]
    general = [row for row in pool if row.kind != "rental"]
    if general:
        row = ([row for row in general if row.confidence in ("primary", "refreshed")] or general)[-1]
        note = said(
            "{device}, {provider}, {terms}", device=found.name, provider=said(row.provider), terms=said(row.terms)
        )
        return Price(row.per_hour, "USD", row.date, row.cite, "catalogue", note)
    row = _lower_median([one for one in pool if one.date == pool[-1].date])
    note = said("{device}, {provider}", device=found.name, provider=said(row.provider))
    return Price(row.per_hour, "USD", row.date, row.cite, "catalogue", note)


def _like(found: Chip, date: str | None) -> Price | None:
    """The market price of the chip that stands for one without a market of its own."""
    for row in _dated(found.name):
        if row.kind == "as" and (price := _market(chip(row.provider), date)) is not None:
            note = said("{device}, {terms}: {price}", device=found.name, terms=said(row.terms), price=price.note)
            return Price(price.per_device_hour, price.currency, price.date, price.source, "assumed", note)
    return None


def _stated(found: Chip) -> Price | None:
    if found.rent_low_usd_h is None:
        return None
    note = said("{device}: the rent that its row states, undated; dated by its launch", device=found.name)
    return Price(found.rent_low_usd_h, "USD", _launch_year(found), found.source, "assumed", note)


def _launch_year(found: Chip) -> str:
    """A date before which a figure without a date of its own cannot be: the year of the launch."""
    match = re.search(r"\b20\d\d", found.launched)
    return match[0] if match else "2022"  # the first year of the catalogue's rents


def _owned(found: Chip) -> Price | None:
    for kind in ("3 years", "tco neocloud", "tco hyperscaler"):
        for row in reversed(_dated(found.name)):
            if row.kind == kind:
                note = said("{device}, {terms}", device=found.name, terms=said(row.terms))
                return Price(row.per_hour, "USD", row.date, row.cite, "assumed", note)
    return None


def _from_purchase(found: Chip) -> Price:
    reference = chip(_REFERENCE)
    rent = _market(reference, None)
    if found.purchase_usd is None or rent is None or not reference.purchase_usd:
        raise UserError(
            said(
                "No price of an hour is known for {chip}; give one with --price '$2/h', or in {file}.",
                chip=found.name,
                file=str(overlay_path()),
            )
        )
    per_hour = found.purchase_usd * rent.per_device_hour / reference.purchase_usd
    note = said(
        "{device} costs ${usd:,.0f} to buy; an hour of it at the H100's ratio of rent to purchase",
        device=found.name,
        usd=found.purchase_usd,
    )
    bought = said(found.purchase_note or found.source)
    source = said("{first}; {second}", first=bought, second=rent.source)
    return Price(per_hour, "USD", rent.date, source, "assumed", note)


def rent_range(found: Chip) -> tuple[float, float] | None:
    """The lowest and the highest offer for an hour of a chip, in USD; None where the catalogue has no offers."""
    prices = [row.per_hour for row in _dated(found.name) if row.kind == "rental"]
    return (min(prices), max(prices)) if prices else None


def how_old(prices: Iterable[Price], lists: Iterable[str] = (), fixed: Iterable[str] = ()) -> list[Said]:
    """How old what an answer rests on is today, and how to renew it: a sentence, none where all was given or is of
    today. lists, fixed: dates of price lists, and of prices that a file of the person's own states."""
    prices, today = [*prices], datetime.date.today()
    dates = [*lists, *(price.date for price in prices if price.kind in ("catalogue", "assumed"))]
    own = [*fixed, *(price.date for price in prices if price.kind == "overlay")]
    renewed, kept = (max(((today - first_day(date)).days, date) for date in (*of, str(today))) for of in (dates, own))
    found = []
    if renewed[0]:
        found.append(
            said(
                "Prices here are up to {days:,|day|days} old ({date:date}); `centime catalogue update` fetches newer.",
                days=renewed[0],
                date=renewed[1],
            )
        )
    if kept[0]:
        found.append(
            said("Prices of your own here are up to {days:,|day|days} old ({date:date}).", days=kept[0], date=kept[1])
        )
    return found
