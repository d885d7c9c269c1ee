"""The tariff that a person names: a model of the catalogue's dated lists, one of them by its id, or amounts."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal

from centime.catalogue.api_prices import OFF_PEAK, PriceList, lists_of, price_list
from centime.catalogue.tariffs.amounts import TokenPrices, per_token
from centime.catalogue.tariffs.instants import instant_ns
from centime.catalogue.tariffs.peak_hours import PeakHours, deepseek_hours, minutes, peak_hours
from centime.catalogue.tariffs.tariff import Tariff
from centime.errors import UserError


def tariff_for(text: str, *, date: str | None = None, hours: str | None = None) -> Tariff:
    """The tariff that a person names.

    text: a model of the catalogue's price lists ('deepseek-v4.1-flash', all its lists from their instants on, off-peak
    ones with them), a list's id ('D003', that list alone), or amounts per million tokens as hit,miss,output, then
    perhaps a slash and the off-peak three, then perhaps a currency: '0.14,0.55,2.19',
    '0.006,0.30,1.20/0.003,0.15,0.60', '1,2,3 CNY'. date: of a model's dated lists those not after it (ISO 8601), else
    all. hours: the peak hours, such as '01:00-04:00,06:00-10:00 Mon-Fri' (UTC); by default the list's own, DeepSeek's
    newest for given amounts.
    Raises UserError on anything else.
    """
    tariff = _given(text) if "," in text else _published(text, date)
    if hours is None:
        return tariff
    if tariff.off_peak is None:
        raise UserError(
            f"{text!r} has one price for all hours, so that peak hours mean nothing; give the off-peak amounts after a "
            "slash: 'hit,miss,output/hit,miss,output'."
        )
    return tariff.with_hours(peak_hours(hours))


def _given(text: str) -> Tariff:
    match = re.fullmatch(r"\s*([^/A-Z]+?)(?:\s*/\s*([^/A-Z]+?))?(?:\s+([A-Z]{3}))?\s*", text)
    if match is None:
        raise UserError(
            f"{text!r} is no price list; write amounts per million tokens as hit,miss,output such as 0.14,0.55,2.19, "
            "with the off-peak ones after a slash, and a currency such as CNY if it is not USD."
        )
    off_peak = _amounts(match[2], text) if match[2] else None
    return Tariff(text.strip(), match[3] or "USD", _amounts(match[1], text), off_peak)


def _amounts(text: str, whole: str) -> TokenPrices:
    parts = text.split(",")
    if len(parts) != 3:
        raise UserError(f"{whole!r}: {len(parts)} amounts; per million tokens there are three: hit,miss,output.")
    return per_token(*parts)


def _published(text: str, date: str | None) -> Tariff:
    newest = price_list(text, date)
    if newest.id.lower() == text.strip().lower() or newest.terms.startswith(OFF_PEAK):
        return Tariff(newest.name, newest.currency, _of(newest), since_ns=_since(newest))
    rows = [row for row in lists_of(newest.model) if date is None or row.date <= date or row == newest]
    main = [row for row in rows if not row.terms.startswith(OFF_PEAK)]
    beside = [row for row in rows if row.terms.startswith(OFF_PEAK)]
    first = _since(main[0])
    instants = sorted({_since(row) for row in rows} | {instant for instant, _ in deepseek_hours()})
    found: list[Tariff] = []
    for instant in instants:
        if instant < first:
            continue
        base = next(row for row in reversed(main) if _since(row) <= instant)
        off_peak = next((row for row in reversed(beside) if _since(base) <= _since(row) <= instant), None)
        made = _dated(base, off_peak, instant)
        if not found or dataclasses.replace(made, since_ns=found[-1].since_ns) != found[-1]:
            found.append(made)
    return dataclasses.replace(found[-1], earlier=tuple(found[:-1]))


def _dated(base: PriceList, off_peak: PriceList | None, instant: int) -> Tariff:
    """A list, and the one for the off-peak hours beside it, as both are asked from an instant on."""
    if off_peak is None:
        return Tariff(base.name, base.currency, _of(base), since_ns=instant)
    match = re.search(r"(\d\d:\d\d) to (\d\d:\d\d) UTC", off_peak.terms)  # the off-peak hours; the rest is peak
    if match:
        hours = PeakHours(((minutes(match[2]), minutes(match[1])),))
    else:
        hours = next((hours for since, hours in reversed(deepseek_hours()) if since <= instant), deepseek_hours()[0][1])
    name = f"{base.model} ({max(base.date, off_peak.date)})"
    return Tariff(name, base.currency, _of(base), _of(off_peak), hours, instant)


def _since(row: PriceList) -> int:
    """The instant from which a list is asked: midnight UTC where its source names the day alone."""
    day = f"{row.date}-01" if len(row.date) == 7 else row.date
    return instant_ns(row.effective or f"{day}T00:00Z")


def _of(row: PriceList) -> TokenPrices:
    return per_token(*(format(Decimal(repr(amount)), "f") for amount in (row.hit, row.miss, row.output)))
