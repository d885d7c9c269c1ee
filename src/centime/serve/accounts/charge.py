"""What a request is charged, and what it cost the machine: integers, in pico-units of a currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from centime.catalogue.prices import Price
from centime.catalogue.tariffs import MOST, PICO, Hours, decimal
from centime.ledger.energy import EnergyUse
from centime.units import HOUR_NS

MOST_PICO = MOST * PICO  # of one request; every sum of two is below 2^64, every one alone below 2^63
MOST_TOKENS = 2**48  # in one request; a context of a thousand million tokens is 2^30
MOST_NS = 2**62  # device-nanoseconds of one request: 146 years


class Used(Protocol):
    """What a request used: `centime.serve.engine.request.Usage` has it."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def hit_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def machine_ns(self) -> int: ...
    @property
    def first_token_ns(self) -> int: ...
    @property
    def total_ns(self) -> int: ...
    @property
    def energy(self) -> EnergyUse: ...


@dataclass(frozen=True)
class Charge:
    """Amounts in pico-units (10**-12) of `currency`; None and '' where there is no price list, or no machine price.

    machine_cost is what the request's share of the machine's time costs, in `machine_currency`, rounded; what the list
    asks is exact. hours: which of the list's prices applied, '' where it has one; doubt: why that is a reading of the
    list, in a sentence, '' where the list is plain.
    """

    machine_cost: int | None
    machine_currency: str
    hit_amount: int
    miss_amount: int
    output_amount: int
    currency: str
    price_list: str
    hours: Hours
    doubt: str = ""

    @property
    def list_price(self) -> int:
        """What the price list asks for the whole request."""
        return self.hit_amount + self.miss_amount + self.output_amount

    @property
    def peak(self) -> bool:
        """Whether the price of the peak hours applied."""
        return self.hours == "peak"

    def as_json(self) -> dict[str, Any]:
        """The charge for an answer's usage: decimal strings of the currency's unit, exact; null where unknown."""
        known = bool(self.price_list)
        return {
            "machine_cost": None if self.machine_cost is None else decimal(self.machine_cost),
            "machine_currency": self.machine_currency or None,
            "list_price": decimal(self.list_price) if known else None,
            "hit": decimal(self.hit_amount) if known else None,
            "miss": decimal(self.miss_amount) if known else None,
            "output": decimal(self.output_amount) if known else None,
            "currency": self.currency or None,
            "price_list": self.price_list or None,
            "hours": self.hours or None,
            "doubt": self.doubt or None,
        }


def check_use(used: Used, devices: int) -> None:
    """Raises ValueError for a use that no request can have had, and that the ledger could not hold."""
    if not (
        0 <= used.hit_tokens <= used.prompt_tokens <= MOST_TOKENS
        and 0 <= used.output_tokens <= MOST_TOKENS
        and 0 <= used.machine_ns * devices <= MOST_NS
    ):
        raise ValueError(
            f"a request cannot have used {used.prompt_tokens} prompt tokens with {used.hit_tokens} of them from the "
            f"cache, {used.output_tokens} output tokens, {used.machine_ns} ns of {devices} devices"
        )


def machine_cost(machine_ns: int, devices: int, price: Price | None) -> int | None:
    """Pico-units for a share of the time of `devices` devices, to the nearest; None without a price."""
    if price is None:
        return None
    per_hour = int(Decimal(repr(price.per_device_hour)) * PICO)
    return (machine_ns * devices * per_hour + HOUR_NS // 2) // HOUR_NS
