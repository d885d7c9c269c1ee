"""What model APIs charge per million tokens, by model and date: the price lists that a margin is computed against."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.prices import first_day
from centime.errors import UserError, nearest

TABLE = Path(__file__).parent / "api_prices.csv"


@dataclass(frozen=True)
class ApiPrice:
    """One entry of a price list, per million tokens. `hit` is None where cached input costs what other input does."""

    id: str
    model: str
    provider: str
    date: str  # from when it held, or when it was first seen
    hit: float | None
    miss: float
    output: float
    currency: str
    terms: str
    confidence: str
    source: str

    def revenue(self, hit_tokens: float, miss_tokens: float, output_tokens: float) -> float:
        """What so many tokens bring in."""
        cached = self.miss if self.hit is None else self.hit
        return (cached * hit_tokens + self.miss * miss_tokens + self.output * output_tokens) / 1e6


@functools.cache
def api_prices() -> tuple[ApiPrice, ...]:
    """Every entry, in the table's order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            ApiPrice(
                row["id"],
                row["model"],
                row["provider"],
                row["date"],
                float(row["hit"]) if row["hit"] else None,
                float(row["miss"]),
                float(row["output"]),
                row["currency"],
                row["terms"],
                row["confidence"],
                row["source"],
            )
            for row in csv.DictReader(file)
            if row["miss"] and row["output"]
        )


def api_price(model: str, date: str | None = None, provider: str | None = None, off_peak: bool = False) -> ApiPrice:
    """The newest list price of `model` not after `date` (None: the newest), by day or, where there is one, off-peak.

    Raises UserError where there is none.
    """
    found = [row for row in api_prices() if row.model == model and provider in (None, row.provider)]
    found = [row for row in found if row.terms.startswith("off-peak") == off_peak]
    if not found:
        names = {row.model for row in api_prices()}
        raise UserError(f"No API price is known for {model!r}.{nearest(model, names)}")
    if date is not None:
        limit = first_day(date)
        found = [row for row in found if first_day(row.date) <= limit]
        if not found:
            raise UserError(f"No API price of {model!r} is known as early as {date}.")
    return max(found, key=lambda row: first_day(row.date))
