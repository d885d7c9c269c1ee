"""What providers ask per million tokens: dated price lists, hit and miss of the context cache apart."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError, nearest
from centime.units import parse_count

TABLE = Path(__file__).parent / "api_prices.csv"


@dataclass(frozen=True)
class PriceList:
    """US dollars per million tokens: input found in the context cache, other input, output."""

    name: str
    model: str
    date: str  # from when; ISO 8601, a month alone where the source says no more
    hit: float
    miss: float
    output: float
    terms: str
    source: str


@functools.cache
def price_lists() -> dict[str, PriceList]:
    """All lists of the catalogue by name."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {
            row["list"]: PriceList(
                row["list"],
                row["model"],
                row["from"],
                float(row["hit_usd_per_m"]),
                float(row["miss_usd_per_m"]),
                float(row["output_usd_per_m"]),
                row["terms"],
                row["source"],
            )
            for row in csv.DictReader(file)
        }


def price_list(text: str) -> PriceList:
    """A list by name ('deepseek-r1'), or three amounts, '0.14,0.55,2.19': hit, miss and output per million tokens.

    Raises UserError for an unknown name, nearest offered, and for amounts that are not three numbers from 0 up.
    """
    known = price_lists()
    if text.lower() in known:
        return known[text.lower()]
    parts = text.replace("$", "").split(",")
    if len(parts) == 3:
        hit, miss, output = (parse_count(part) for part in parts)
        return PriceList("given", "", "", hit, miss, output, "", "the command line")
    raise UserError(
        f"{text!r} is no price list of the catalogue ({', '.join(known)}); name one, or give dollars per million "
        f"tokens as hit,miss,output such as 0.14,0.55,2.19.{nearest(text.lower(), known)}"
    )
