"""What was served as FOCUS charges whose units are tokens: for charging it back to those who asked.

One row an hour, key, price list and kind of token, at the list's price of one: the sums of `served`, exact. They are
what the machine's hours (focus.py) were used for, asked at list prices: a file has the one or the other, so that
nothing is in it twice.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from centime.catalogue.tariffs import PICO
from centime.errors import UserError
from centime.ledger.billing.focus import decimal_text, instant_text
from centime.ledger.billing.focus_forms import CARBON, EMPTY, OURS, focus_file, write_rows
from centime.ledger.billing.runs import intervals_of
from centime.ledger.book import Book
from centime.ledger.served import Served

KINDS = ("machine", "tokens")  # of charges that a file may have
NOBODY = "(no key)"


def kind_named(word: str) -> str:
    """What a file is to have. Raises UserError for another word."""
    if word not in KINDS:
        raise UserError(f"--focus-of {word!r} is nothing to charge; give {' or '.join(KINDS)}.")
    return word


def write_focus_tokens(book: Book, path: Path, run: str | None = None, version: str = "1.2") -> tuple[int, int]:
    """Writes what was served of a run, or of everything, to `path`; returns (rows written, sums without a price list
    left out). Raises UserError for an unknown run or a file that cannot be written."""
    runs = {(one.run, one.run_path or "") for one in intervals_of(book.intervals(), run)}
    chosen = [row for row in book.served() if run is None or (row.run, row.run_path) in runs]
    priced = [row for row in chosen if row.currency]
    rows = [charge for row in priced for charge in _charges(row)]
    write_rows(rows, version, focus_file(path))
    return len(rows), len(chosen) - len(priced)


def _charges(row: Served) -> Iterator[dict[str, str]]:
    missed = row.prompt_tokens - row.hit_tokens
    for kind, tokens, pico in (
        ("cached input", row.hit_tokens, row.hit_pico),
        ("input", missed, row.miss_pico),
        ("output", row.output_tokens, row.output_pico),
    ):
        if tokens:
            yield _charge(row, kind, tokens, pico)


def _charge(row: Served, kind: str, tokens: int, pico: int) -> dict[str, str]:
    start = datetime.datetime.fromtimestamp(row.hour * 3600, datetime.UTC)
    month = start.replace(day=1, hour=0)
    cost, price = decimal_text(Decimal(pico) / PICO), decimal_text(Decimal(pico) / PICO / tokens)
    sku = f"{row.tariff}:{kind.replace(' ', '-')}" + (f":{row.hours}" if row.hours else "")
    key = row.key or NOBODY
    return {
        **dict.fromkeys((*EMPTY, *OURS, *CARBON), ""),
        "BilledCost": "0.0",
        "BillingAccountId": "centime",
        "BillingAccountName": "centime ledger",
        "BillingCurrency": row.currency,
        "BillingPeriodStart": instant_text(month),
        "BillingPeriodEnd": instant_text((month + datetime.timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{kind} tokens of {row.run} for {key}, by {row.tariff}"
        + (f", {row.hours}" if row.hours else ""),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": instant_text(start),
        "ChargePeriodEnd": instant_text(start + datetime.timedelta(hours=1)),
        "ConsumedQuantity": decimal_text(Decimal(tokens)),
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "ContractedUnitPrice": price,
        "EffectiveCost": cost,
        "InvoiceIssuerName": "Self-hosted",
        "ListCost": cost,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingQuantity": decimal_text(Decimal(tokens)),
        "PricingUnit": "Tokens",
        "ProviderName": "Self-hosted",
        "PublisherName": "centime",
        "ServiceProviderName": "Self-hosted",
        "HostProviderName": "Self-hosted",
        "ResourceId": row.run,
        "ResourceName": row.run,
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "centime",
        "ServiceSubcategory": "Generative AI",
        "SkuId": row.tariff,
        "SkuPriceId": sku,
        "SubAccountId": key,
        "SubAccountName": key,
        "Tags": json.dumps({"centime/key": row.key, "centime/run": row.run}),
        "x_Run": row.run,
        "x_RunPath": row.run_path,
        "x_Stage": "serve",
        "x_Tokens": str(tokens),
        "x_Verb": "serve",
    }
