"""What the page shows of a server's money: the prices of the moment, and the bill."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from centime.catalogue.tariffs import MILLION, PICO
from centime.ledger.billing import bill_of
from centime.ledger.book import Book

if TYPE_CHECKING:
    from pathlib import Path

    from centime.serve.accounts import Account


def prices_now(whose: Account) -> dict[str, Any]:
    """What the account is asked at this moment: {name, currency, hours, hit, miss, output}, per million tokens; empty
    without a price list."""
    if whose.tariff is None:
        return {}
    asked = whose.tariff.asked(time.time_ns())
    per_million = {name: getattr(asked.amounts, name) * MILLION / PICO for name in ("hit", "miss", "output")}
    return {"name": asked.name, "currency": whose.tariff.currency, "hours": asked.hours or None, **per_million}


@dataclass(frozen=True)
class BillView:
    """The bill of a ledger, read anew at each call; path: the ledger's file, by default the person's own.

    Whoever reaches a server without keys is at its machine, and sees all of it. A key sees what it was served itself.
    """

    path: Path | None = None

    def __call__(self, run: str | None, whose: Account) -> dict[str, Any]:
        """`centime bill --json` of a run, by its folder or its name, or of everything; for a key: {key, lines}, its
        own lines of the serving part without the machine's cost. Raises UserError for a run the ledger does not know.
        """
        with Book(self.path) as book:
            found = bill_of(book, None if whose.name else run)
        if not whose.name:
            return found.as_json()
        lines = found.serving.lines if found.serving else []
        return {"key": whose.name, "lines": [line.as_json() for line in lines if line.key == whose.name]}
