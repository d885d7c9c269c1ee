"""The book as charges of FinOps FOCUS (focus.finops.org, specifications 1.2 and 1.4), one row an interval and month.

Hardware of one's own is on nobody's invoice: BilledCost is 0, and what its use is worth, at the price the bill
names, is EffectiveCost (and ListCost and ContractedCost: there is no discount). An interval without a price cannot be a
charge, for FOCUS wants a number; it is left out and counted.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from centime.catalogue.prices import Price
from centime.ledger.billing.focus_forms import CARBON, EMPTY, focus_file, write_rows
from centime.ledger.billing.runs import intervals_of, with_price
from centime.ledger.book import Book
from centime.ledger.energy import Footprint
from centime.ledger.interval import Interval
from centime.units import HOUR_NS

_HOUR_NS = Decimal(HOUR_NS)
_HOUR_DIGITS = Decimal(
    "1e-12"
)  # hours are written to 3.6 ns; device-seconds (ConsumedQuantity) and x_ columns are exact


def write_focus(
    book: Book,
    path: Path,
    run: str | None = None,
    price: Price | None = None,
    version: str = "1.2",
    footprint: Footprint | None = None,
) -> tuple[int, int]:
    """Write the charges of a run, or of everything, to `path`; returns (rows written, unpriced intervals left out).

    Columns sorted by name, ours (`x_`) last; the file appears whole or not at all, as Parquet where its name ends so,
    else as CSV. price: for what has none; version: of the specification; footprint: what carbon is counted by, None: by
    the person's carbon.toml. Raises UserError for an unknown run or a file
    that cannot be written.
    """
    chosen = [i for i in with_price(intervals_of(book.intervals(), run), price) if i.device_ns > 0]
    priced = [interval for interval in chosen if interval.price_per_hour is not None]
    carbon = Footprint.chosen() if footprint is None else footprint
    rows = [row | _carbon(row, carbon) for interval in priced for row in _charges(interval)]
    write_rows(rows, version, focus_file(path))
    return len(rows), len(chosen) - len(priced)


def _carbon(row: dict[str, str], footprint: Footprint) -> dict[str, str]:
    grams = footprint.grams(float(row["x_EnergyKwh"]) if row["x_EnergyKwh"] else None)
    if grams is None:
        return dict.fromkeys(CARBON, "")
    return {"x_CarbonGrams": decimal_text(Decimal(grams).quantize(_HOUR_DIGITS)), "x_CarbonSource": str(footprint.grid)}


def _charges(interval: Interval) -> Iterator[dict[str, str]]:
    """The interval's charges, one for each calendar month (UTC) that it touches; their sums are the interval's."""
    parts = _months(interval.wall_start_ns, interval.measured_ns + interval.estimated_ns)
    whole = sum(ns for _, _, ns in parts)
    measured_left, tokens_left = interval.measured_ns, interval.tokens
    for index, (month, start, ns) in enumerate(parts):
        measured = min(ns, measured_left)  # what is estimated lies at the end
        tokens = tokens_left if index == len(parts) - 1 else interval.tokens * ns // whole
        measured_left, tokens_left = measured_left - measured, tokens_left - tokens
        yield _charge(interval, month, start, ns, measured, tokens, ns / whole)


def _months(start_ns: int, length_ns: int) -> list[tuple[datetime.datetime, int, int]]:
    """(first moment of the month, start, length) of each part of a stretch of wall time that lies in one month."""
    parts, start, left = [], start_ns, length_ns
    while True:
        month = datetime.datetime.fromtimestamp(start // 10**9, datetime.UTC).replace(day=1, hour=0, minute=0, second=0)
        room = round(_next_month(month).timestamp()) * 10**9 - start
        parts.append((month, start, min(left, room)))
        if left <= room:
            return parts
        start, left = start + room, left - room


def _next_month(month: datetime.datetime) -> datetime.datetime:
    return (month + datetime.timedelta(days=32)).replace(day=1)


def _charge(
    interval: Interval, month: datetime.datetime, start: int, ns: int, measured: int, tokens: int, share: float
) -> dict[str, str]:
    """The charge for `ns` of the interval from wall time `start` on, `measured` of them measured; `share` of it all."""
    device_ns = ns * interval.devices
    hours = (Decimal(device_ns) / _HOUR_NS).quantize(_HOUR_DIGITS)
    price = Decimal(str(interval.price_per_hour))
    cost = decimal_text(hours * price)
    run = interval.run or "(unnamed)"
    kind = interval.device_kind.upper()
    tags = {"centime/run": run, "centime/stage": interval.stage, "centime/verb": interval.verb}
    # a kilowatt-hour has as many microjoules as an hour has nanoseconds
    kwh = (Decimal(interval.energy_uj * share) / _HOUR_NS).quantize(_HOUR_DIGITS)
    sku = f"{kind.lower()}-hour:{interval.device}" + (f":{interval.vcpus}-vcpu" if interval.vcpus else "")
    end_s = -(-(start + ns) // 10**9)  # whole seconds, as FOCUS writes time: rounded outwards
    return {
        "BilledCost": "0.0",
        "BillingAccountId": f"centime:{interval.host or 'localhost'}",
        "BillingAccountName": f"centime ledger of {interval.host or 'localhost'}",
        "BillingCurrency": interval.currency or "",
        "BillingPeriodStart": instant_text(month),
        "BillingPeriodEnd": instant_text(_next_month(month)),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{interval.stage} of {run} on {interval.devices} x {interval.device}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": instant_text(datetime.datetime.fromtimestamp(start // 10**9, datetime.UTC)),
        "ChargePeriodEnd": instant_text(datetime.datetime.fromtimestamp(end_s, datetime.UTC)),
        "ConsumedQuantity": decimal_text(Decimal(device_ns) / 10**9),
        "ConsumedUnit": "Seconds",
        "ContractedCost": cost,
        "ContractedUnitPrice": decimal_text(price),
        "EffectiveCost": cost,
        "InvoiceIssuerName": "Self-hosted",
        "ListCost": cost,
        "ListUnitPrice": decimal_text(price),
        "PricingCategory": "Standard",
        "PricingQuantity": decimal_text(hours),
        "PricingUnit": "Hours",
        "ProviderName": "Self-hosted",  # of 1.2, with the publisher; the next two are of 1.4
        "PublisherName": "centime",
        "ServiceProviderName": "Self-hosted",
        "HostProviderName": "Self-hosted",
        "ResourceId": f"{interval.host or 'localhost'}/{interval.device}",
        "ResourceName": interval.device,
        "ResourceType": kind,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "centime",
        "ServiceSubcategory": "AI Platforms",
        "SkuId": sku,
        "SkuPriceId": sku,
        "Tags": json.dumps(tags),
        **dict.fromkeys(EMPTY, ""),
        "x_Devices": str(interval.devices),
        "x_EnergyKwh": "" if interval.energy_source == "none" else decimal_text(kwh),
        "x_EnergySource": {"tdp": "estimated"}.get(interval.energy_source, interval.energy_source),
        "x_EstimatedDeviceNanoseconds": str((ns - measured) * interval.devices),
        "x_Flops": decimal_text(Decimal(interval.flops * share)),
        "x_MeasuredDeviceNanoseconds": str(measured * interval.devices),
        "x_PriceDate": interval.price_date or "",
        "x_PriceKind": interval.price_kind or "",
        "x_PriceNote": interval.price_note or "",
        "x_PriceSource": interval.price_source or "",
        "x_Run": interval.run,
        "x_RunPath": interval.run_path or "",
        "x_Stage": interval.stage,
        "x_Tokens": str(tokens),
        "x_Verb": interval.verb,
    }  # fmt: skip


def decimal_text(value: Decimal) -> str:
    """Plain decimal notation with a point: FOCUS allows no plus sign, not even in an exponent, and a reader that
    guesses types takes '0' for an integer."""
    whole, _, digits = format(value, "f").partition(".")
    return f"{whole}.{digits.rstrip('0') or '0'}"


def instant_text(time: datetime.datetime) -> str:
    """As FOCUS writes a moment, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
