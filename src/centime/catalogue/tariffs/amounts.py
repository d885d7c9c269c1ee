"""Prices of tokens as whole pico-units of a currency per token.

A price of so many micro-dollars per million tokens is as many pico-dollars (10**-12) per token, so that the charge for
a request is tokens x price in integers, exact, with nothing to round. Sixty-four bits of them are 9.2 million dollars.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from centime.errors import UserError

PICO = 10**12  # pico-dollars in a dollar, and so in every currency
MILLION = 10**6
MOST = 9_000_000
"""Of a currency's unit: in a balance, for a request, per million tokens. 64 bits hold 9.2 million of pico-units."""


@dataclass(frozen=True)
class TokenPrices:
    """Pico-units of the currency per token: prompt tokens found in the cache, other prompt tokens, output tokens."""

    hit: int
    miss: int
    output: int

    @property
    def dearest_input(self) -> int:
        """What a prompt token costs at most."""
        return max(self.hit, self.miss)

    def __str__(self) -> str:
        """Per million tokens: '0.006/0.3/1.2'."""
        return "/".join(
            format((Decimal(amount) * MILLION / PICO).normalize(), "f") for amount in (self.hit, self.miss, self.output)
        )


def picos(text: str, what: str) -> int:
    """'0.003625' (of a currency's unit) -> 3_625_000_000 pico-units. Raises UserError on anything but a plain number
    of at most twelve decimals, from 0 to MOST."""
    try:
        amount = Decimal(text.strip().lstrip("$€¥£").replace("_", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent  # a letter where it is no number
    if not isinstance(exponent, int) or not 0 <= amount <= MOST or amount != round(amount, 12):
        raise UserError(
            f"{what} is {text.strip()[:60]!r}; give a number of at least 0 and at most {MOST:,}, with at most 12 "
            "decimals, such as 0.55."
        )
    return int(amount.scaleb(12))


def per_token(*amounts: str) -> TokenPrices:
    """Amounts per million tokens (of a hit, of a miss, of output) to pico-units per token. Raises UserError on one
    that is no number, or finer than a millionth."""
    found = []
    for text, what in zip(amounts, ("the price of a hit", "of a miss", "of output"), strict=True):
        whole, rest = divmod(picos(text, f"{what} per million tokens"), MILLION)
        if rest:
            raise UserError(
                f"{what} per million tokens is {text.strip()!r}; amounts are kept to a millionth per million tokens: "
                "give at most 6 decimals."
            )
        found.append(whole)
    return TokenPrices(*found)


def decimal(pico: int) -> str:
    """2_500_000_000_000 -> '2.5': exact, in the currency's unit, no exponent."""
    whole, _, digits = format(Decimal(pico).scaleb(-12), "f").partition(".")
    digits = digits.rstrip("0")
    return f"{whole}.{digits}" if digits else whole
