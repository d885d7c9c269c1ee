"""Whose requests they are, and what may still be spent on them."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.tariffs import Tariff, decimal


@dataclass(frozen=True)
class Account:
    """Whose request it is. `name` is '' for the one anonymous account of a server without keys."""

    name: str
    tariff: Tariff | None  # None: the server has no price list, and the key none of its own
    currency: str | None  # of the budget; None without one
    per_minute: int | None
    concurrency: int | None
    own_prices: bool = False  # the tariff is the key's own, whatever model it asks for
    place: str = ""  # where its key stands: 'organisation/team', 'organisation' or ''


@dataclass(frozen=True)
class Balance:
    """What an account may still spend, in pico-units; `left` None: without end. `held` is reserved by what runs."""

    currency: str | None
    left: int | None
    held: int

    @property
    def available(self) -> bool:
        """Whether anything may still be spent."""
        return self.left is None or self.left > 0

    @property
    def total(self) -> str | None:
        """What is left, as an exact decimal of the currency; None: without end."""
        return None if self.left is None else decimal(self.left)
