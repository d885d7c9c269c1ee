"""What a request of any instant is charged by DeepSeek's lists and others', and requests for which that is known.

`vectors.csv`, beside this file, is for whoever computes the same: instant (UTC), model as the API names it, the three
prices in USD per million tokens that a request admitted then is charged, the hours of the list ('' where it has one
price), whether the list's own words say so ('no' where they are silent and this is a reading), and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from centime.catalogue.tariffs.amounts import PICO
from centime.catalogue.tariffs.instants import as_utc, instant_ns
from centime.catalogue.tariffs.named import tariff_for
from centime.catalogue.tariffs.tariff import Asked, Tariff
from centime.errors import UserError

VECTORS = Path(__file__).parent / "vectors.csv"


@dataclass(frozen=True)
class Priced:
    """What a request at an instant costs. tokens: of hits, misses and output."""

    instant: str
    asked: Asked
    currency: str
    tokens: tuple[int, int, int]

    @property
    def picos(self) -> int:
        """Pico-units of the currency, exact."""
        amounts = self.asked.amounts
        return sum(n * each for n, each in zip(self.tokens, (amounts.hit, amounts.miss, amounts.output), strict=True))

    def __str__(self) -> str:
        hours = f", {self.asked.hours}" if self.asked.hours else ""
        line = f"{self.asked.name}{hours} at {self.instant}: {self.asked.amounts} {self.currency} per million tokens"
        cost = f"{Decimal(self.picos).scaleb(-12).normalize():f} {self.currency}"
        hits, misses, output = self.tokens
        paid = f"\n{cost} for {hits:,} tokens from the cache, {misses:,} other prompt tokens and {output:,} of output."
        doubt = f"\nNot plain: {self.asked.doubt}." if self.asked.doubt else ""
        return f"{line} (hit/miss/output).{paid if any(self.tokens) else ''}{doubt}"

    def as_json(self) -> dict[str, Any]:
        """Prices per million tokens and the cost of the request, in the currency."""
        hit, miss, output = map(float, str(self.asked.amounts).split("/"))
        return {
            "instant": self.instant,
            "price_list": self.asked.name,
            "hours": self.asked.hours or None,
            "hit": hit,
            "miss": miss,
            "output": output,
            "currency": self.currency,
            "tokens": dict(zip(("hit", "miss", "output"), self.tokens, strict=True)),
            "cost": self.picos / PICO,
            "doubt": self.asked.doubt or None,
        }


def priced(text: str, instant: str, tokens: tuple[int, int, int] = (0, 0, 0)) -> Priced:
    """A request of a model (or any price list that `tariff_for` takes) at an instant, by the list in force then.

    Raises UserError for an instant before the first list: what was asked then is not known, and later prices are not
    charged to earlier requests.
    """
    tariff, moment = tariff_for(text), instant_ns(instant)
    first = first_ns(tariff)
    if moment < first:
        raise UserError(
            f"the first known price of {text} is of {as_utc(first):%Y-%m-%dT%H:%MZ}, after {instant}: no list that was "
            "asked then is known, and later ones are not charged to earlier requests."
        )
    return Priced(f"{as_utc(moment):%Y-%m-%dT%H:%M:%SZ}", tariff.asked(moment), tariff.currency, tokens)


def first_ns(tariff: Tariff) -> int:
    """The instant from which a tariff's first list is asked, nanoseconds since the epoch."""
    return tariff.earlier[0].since_ns if tariff.earlier else tariff.since_ns
