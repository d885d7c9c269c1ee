"""What the page's views show of a running server: its engine now, the prices, the bill."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from centime.catalogue.tariffs import MILLION, PICO
from centime.ledger.bill import bill
from centime.ledger.book import Book

if TYPE_CHECKING:
    from pathlib import Path

    from centime.catalogue.prices import Price
    from centime.serve.accounts import Account
    from centime.serve.engine.face import EngineFace


@dataclass(frozen=True)
class EngineView:
    """The live view of an engine; calling it takes one reading.

    model: the name it is served by; device: what it runs on, as the bill names it; price: of that device's hour, or
    None. devices: how many of them the engine works on.
    """

    engine: EngineFace
    model: str
    device: str
    price: Price | None
    devices: int = 1

    def __call__(self) -> dict[str, Any]:
        """JSON values: rates in tokens a second, cache in blocks, times in nanoseconds, the price of an hour of all
        devices. The hit rate is of prompt tokens since the start; None before the first."""
        stats, price = self.engine.stats(), self.price
        return {
            "model": self.model,
            "context": self.engine.context,
            "device": self.device,
            "running": stats.running,
            "waiting": stats.waiting,
            "output_tokens_per_second": stats.output_tokens_per_s,
            "computed_tokens_per_second": stats.computed_tokens_per_s,
            "cache": {
                "used": stats.blocks_used,
                "findable": stats.blocks_cached,
                "total": stats.blocks,
                "block_tokens": stats.block_tokens,
                "hit_rate": stats.hit_tokens / stats.prompt_tokens if stats.prompt_tokens else None,
            },
            "drafts": {"made": stats.drafted_tokens, "kept": stats.accepted_tokens},
            "machine_ns": {"requests": stats.busy_ns, "idle": stats.idle_ns},
            "price": price
            and {
                "per_hour": price.per_device_hour * self.devices,
                "currency": price.currency,
                "date": price.date,
                "kind": price.kind,
            },
        }


def prices_now(whose: Account) -> dict[str, Any]:
    """What the account is asked at this moment: {name, currency, hours, hit, miss, output}, per million tokens; empty
    without a price list."""
    if whose.tariff is None:
        return {}
    amounts, hours = whose.tariff.at(time.time_ns())
    per_million = {name: getattr(amounts, name) * MILLION / PICO for name in ("hit", "miss", "output")}
    return {"name": whose.tariff.name, "currency": whose.tariff.currency, "hours": hours or None, **per_million}


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
            found = bill(book, None if whose.name else run)
        if not whose.name:
            return found.as_json()
        lines = found.serving.lines if found.serving else []
        return {"key": whose.name, "lines": [line.as_json() for line in lines if line.key == whose.name]}
