"""What the catalogue says of prices and export rules, as sentences that can turn French.

In English they read as `str(Price)` and `str(Status)` do; names, providers and the titles of rules stay as they are.
"""

from __future__ import annotations

import re

from centime.catalogue.api_prices import PriceList
from centime.catalogue.export_rules import Status
from centime.catalogue.prices import Price, aged
from centime.messages import Said, said
from centime.units import format_money

FROM_PURCHASE = re.compile(r"(.+) costs (\$[\d,]+) to buy; an hour of it at the H100's ratio of rent to purchase")


def priced(price: Price) -> Said:
    """'$2.00 per device-hour (catalogue, H800 SXM 80GB, DeepSeek; 2024-12-27, 699 days old)'."""
    days = re.search(r"\d+", aged(price.date)) if price.kind != "given" else None
    return said(
        "{amount} per device-hour ({kind}{note}; {date}{age})",
        amount=format_money(price.per_device_hour, price.currency),
        kind=said(price.kind),
        note=said(", {note}", note=noted(price.note)) if price.note else "",
        date=price.date,
        age=said(", {days} days old", days=days[0]) if days else "",
    )


def briefly(price: Price) -> Said:
    """'$2.00 per device-hour, 2024-12-27': for under a figure; whose price it is and how old, the sources say."""
    return said(
        "{amount} per device-hour, {date}",
        amount=format_money(price.per_device_hour, price.currency),
        date=price.date,
    )


def listed(prices: PriceList) -> Said:
    """'deepseek-r1 (2025-01-20, list price, 600 days old)'."""
    if not prices.date:
        return said(prices.model)
    days = re.search(r"\d+", aged(prices.date))
    age = said(", {days} days old", days=days[0]) if days else ""
    return said(
        "{model} ({date}, {terms}{age})", model=prices.model, date=prices.date, terms=said(prices.terms), age=age
    )


def noted(note: str) -> Said:
    """The note of a price: the device, who asks it, on what terms."""
    if bought := FROM_PURCHASE.fullmatch(note):
        return said(
            "{chip} costs {price} to buy; an hour of it at the H100's ratio of rent to purchase",
            chip=bought[1],
            price=bought[2],
        )
    device, _, terms = note.partition(", ")
    provider, comma, last = terms.rpartition(", ")
    if comma:
        return said("{device}, {provider}, {terms}", device=device, provider=provider, terms=said(last))
    return said(note)


def ruled(status: Status) -> Said:
    """'banned since 2023-10-17 (US BIS rule 2023-10-17; presumption of denial)'."""
    because: str = said(status.rule)
    if status.note:
        because = said("{rule}; {note}", rule=because, note=said(status.note)) if status.rule else said(status.note)
    return said(
        "{status}{since}{because}",
        status=said(status.status),
        since=said(" since {date}", date=status.since) if status.since else "",
        because=said(" ({why})", why=because) if because else "",
    )
