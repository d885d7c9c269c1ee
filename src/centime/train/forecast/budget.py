"""`--budget 10m`, `--budget '$0.05'`, `--budget 2M-tokens`: a ceiling that the stages are fitted under."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.units import format_count, format_duration, format_money, parse_count, parse_duration, parse_money


@dataclass(frozen=True)
class Budget:
    """What a run may spend, all stages together."""

    kind: Literal["time", "money", "tokens"]
    amount: float  # seconds, money, or tokens
    currency: str = ""

    def __str__(self) -> str:
        if self.kind == "tokens":
            return f"{format_count(self.amount)} tokens"
        return format_duration(self.amount) if self.kind == "time" else format_money(self.amount, self.currency)

    def seconds(self, price: Price | None, devices: int) -> float:
        """Wall-clock seconds that the budget pays for on `devices` devices; infinite for one in tokens.

        Raises UserError for a budget in money when the price is unknown or in another currency.
        """
        if self.kind == "tokens":
            return float("inf")
        if self.kind == "time":
            return self.amount
        if price is None:
            raise UserError(
                f"A budget of {self} needs a price of this device; give it with --price, such as --price '$0.10/h'."
            )
        if price.currency != self.currency:
            raise UserError(
                f"The budget is in {self.currency} and the price in {price.currency}; give both in one currency."
            )
        an_hour = price.per_device_hour * devices
        return self.amount / an_hour * 3600 if an_hour else float("inf")


MOST = 1e18  # seconds, money or tokens: more is a typing error
SMOKE = "16K-tokens"  # a few steps of every stage


def smoke() -> bool:
    """Whether CENTIME_SMOKE=1 asks for the same path with few steps."""
    return os.environ.get("CENTIME_SMOKE") == "1"


def effective_budget(budget: str | None) -> str | None:
    """`budget`, or a tiny one for a smoke test."""
    return SMOKE if smoke() else budget


def parse_budget(text: str) -> Budget:
    """'10m', '$0.05' or '2M-tokens' -> Budget. Raises UserError on anything else, or an amount of nothing."""
    stripped = text.strip()
    if stripped.endswith("tokens"):
        budget = Budget("tokens", parse_count(stripped.removesuffix("tokens").rstrip(" -")))
    elif stripped[-1:] in "smhdn" and stripped[:1].isdigit():
        budget = Budget("time", parse_duration(stripped))
    else:
        try:
            amount, currency = parse_money(stripped)
        except UserError as error:
            raise UserError(
                f"{text!r} is not a budget; write a time (10m), money ('$0.05') or tokens (2M-tokens)."
            ) from error
        budget = Budget("money", amount, currency)
    if budget.amount <= 0:
        raise UserError(f"A budget of {text!r} buys nothing; give more than zero.")
    if budget.amount > MOST:
        raise UserError(f"A budget of {text!r} is no amount that anybody has; leave --budget out for none.")
    return budget
