"""A FinOps FOCUS file (specification 1.0 to 1.2, CSV): one statement a charge, at its effective cost.

A charge is known by everything in its row that is no amount, so that a provider's corrected file replaces what the
earlier one said. EffectiveCost spreads what was paid ahead over its use; a purchase that covers later use has none.
"""

from __future__ import annotations

import datetime
import hashlib
import platform
from collections import Counter
from decimal import Decimal, InvalidOperation

from centime.catalogue.tariffs import PICO
from centime.csv_files import parse
from centime.errors import UserError
from centime.ledger.imported import Imported

NEEDED = ("EffectiveCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ServiceName")
# What a later edition of the same file may correct.
_AMOUNTS = {
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost",
    "ListUnitPrice", "PricingQuantity", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "InvoiceId", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
}  # fmt: skip
_SECONDS = {"seconds": 1, "second": 1, "minutes": 60, "hours": 3600, "hour": 3600, "hrs": 3600}


def is_focus(text: str) -> bool:
    """Whether the first line has FOCUS's columns."""
    header = (text.splitlines() or [""])[0]
    return "ChargePeriodStart" in header and "BillingCurrency" in header


def read_focus(text: str, origin: str) -> list[Imported]:
    """One statement a charge; this machine's own charges, as `centime bill --focus` writes them, are left out.

    Raises UserError for a missing column, or a row that cannot be read, with its line.
    """
    head, lines = parse(text, origin, "a FOCUS file is a CSV file")
    missing = [name for name in NEEDED if name not in head]
    if missing:
        raise UserError(f"{origin} lacks {', '.join(missing)}: a FOCUS file has {', '.join(NEEDED)}.")
    seen: Counter[str] = Counter()
    found, own = [], 0
    for number, fields in lines:
        if len(fields) != len(head):
            raise UserError(f"{origin}, line {number}: another number of fields than the header has.")
        row = dict(zip(head, fields, strict=True))
        if row.get("BillingAccountId") == f"centime:{platform.node() or 'localhost'}":
            own += 1
            continue
        try:
            found.append(_statement(row, origin, seen))
        except ValueError as error:
            raise UserError(f"{origin}, line {number}: {error}.") from None
    if not found:
        raise UserError(
            f"{origin} holds no charge of others" + (f": its {own} charges are of this ledger." if own else ".")
        )
    return found


def _statement(row: dict[str, str], origin: str, seen: Counter[str]) -> Imported:
    named = sorted((name, value) for name, value in row.items() if name not in _AMOUNTS and not _measured(name))
    digest = hashlib.sha256(repr(named).encode()).hexdigest()[:32]
    seen[digest] += 1  # charges that differ in their amounts alone are counted through
    cost = _number(row, "EffectiveCost")
    device_ns = _device_ns(row)
    return Imported(
        id=f"focus:{digest}:{seen[digest]}",
        source="focus",
        origin=origin,
        name=row["ServiceName"],
        start_ns=_moment(row, "ChargePeriodStart"),
        end_ns=_moment(row, "ChargePeriodEnd"),
        device=(row.get("ResourceName") or row.get("ResourceType") or "") if device_ns else "",
        device_ns=device_ns,
        output_tokens=0,
        cost_pico=int((cost * PICO).to_integral_value()),
        cost_currency=row["BillingCurrency"],
        cost_source="reported",
    )


def _measured(name: str) -> bool:
    """Our own columns that are amounts."""
    return name.startswith("x_") and name.endswith(("Nanoseconds", "Kwh", "Flops", "Tokens"))


def _device_ns(row: dict[str, str]) -> int:
    """Device-time where the charge is by time: of ours exact, of another compute service its hours or seconds."""
    if row.get("x_MeasuredDeviceNanoseconds"):
        ours = (row["x_MeasuredDeviceNanoseconds"], row.get("x_EstimatedDeviceNanoseconds") or "0")
        if all(part.isdigit() for part in ours):
            return sum(int(part) for part in ours)
    compute = row.get("ServiceCategory") in {"Compute", "AI and Machine Learning"}
    for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
        seconds = _SECONDS.get((row.get(unit) or "").strip().lower())
        if compute and seconds and row.get(quantity):
            return int(_number(row, quantity) * seconds * 10**9)
    return 0


def _number(row: dict[str, str], name: str) -> Decimal:
    try:
        value = Decimal(row[name].strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise ValueError(f"{name} is {row[name]!r}, not a number")
    return value


def _moment(row: dict[str, str], name: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(row[name].strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{name} is {row[name]!r}, not a time such as 2026-11-01T00:00:00Z") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return round(aware.timestamp()) * 10**9
