"""A request that was admitted: what it may cost is held until it is settled, released, or forgotten."""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref

from centime.catalogue.tariffs import Asked, Tariff, TokenPrices
from centime.ledger.tags import RequestTags
from centime.serve.accounts.account import Account
from centime.serve.accounts.bookings import Booking
from centime.serve.accounts.charge import Charge, Used
from centime.serve.accounts.limits import Refused
from centime.serve.accounts.machine import Machine
from centime.serve.accounts.pricing import Pricing
from centime.serve.accounts.reservations import Held, Reservations
from centime.serve.accounts.wanted import wanted

FREE = Asked(TokenPrices(0, 0, 0), "")


class Ticket:
    """One admitted request: settle it with what it used, or release it when nothing was. The first of them counts.

    A ticket that nobody has any more, whatever happened to whoever had it, is released. Safe for threads.
    """

    def __init__(self, reservations: Reservations, pricing: Pricing, held: Held, asked: Asked) -> None:
        self._reservations, self._pricing = reservations, pricing
        self._held, self._said, self._request_id = held, held.tags, ""
        self._asked = asked  # the prices at which it was admitted
        self._changing = threading.Lock()  # so that nothing is reserved for a request that has just ended
        self._forgotten = weakref.finalize(self, reservations.bookings.later, Booking(held.number))
        self._forgotten.atexit = False

    def price(self, tariff: Tariff | None) -> None:
        """From here on the request is charged at these prices, those of this moment; a key with prices of its own keeps
        them. Raises Refused (402) for a budget that they cannot be paid from; the ticket stays good."""
        account = self.account if self.account.own_prices else dataclasses.replace(self.account, tariff=tariff)
        check_currency(account)
        if account.tariff is self.account.tariff:
            return
        with self._changing:
            self._held = dataclasses.replace(self._held, account=account)
            self._asked = asked_now(account)

    @property
    def account(self) -> Account:
        """Whose request it is."""
        return self._held.account

    def tag(self, tags: RequestTags, request_id: str = "") -> None:
        """What the request says of itself, before anything is reserved for it; request_id: what its client calls it."""
        self._said, self._request_id = tags, request_id

    def raise_to(self, *, prompt_tokens: int, max_tokens: int, least: int | None = None) -> int:
        """Reserve what the request could cost, at the ticket's own prices, where it holds less; the limits count once.

        Returns how many tokens of output are paid for: `max_tokens`, or where that does not fit what is left, as many
        as do, `least` or more; least None: all of them or none. Raises Refused: 400 for more than any request may cost,
        402 when what is left might not pay it, 503 while the ledger cannot be written. The ticket stays good all the
        same, with what it held.
        """
        with self._changing:
            if not self._forgotten.alive:
                raise RuntimeError("a request is settled or released once")
            asks = wanted(self._asked.amounts, prompt_tokens, max_tokens, least)
            self._held, tokens = self._reservations.raise_to(self._held, asks, self._said)
            return tokens

    def settle(self, used: Used, machine: Machine | None = None) -> Charge:
        """Charge what was used and let the reservation go, committed before this returns if the ledger can be written.

        machine: what answered, where that is not the server's own.

        Raises ValueError for a use that cannot be, such as more hits than prompt tokens; the ticket then stays good.
        """
        with self._changing:
            if not self._forgotten.alive:
                raise RuntimeError("a request is settled or released once")
            pricing = machine.pricing if machine is not None else self._pricing
            charge, row, itself = pricing.charge(self._held.account, self._asked, used)
            self._forgotten.detach()
        held = self._held
        itself = dataclasses.replace(itself, request_id=self._request_id)
        booking = Booking(held.number, row, itself, held.lines, held.account.place, self._said)
        self._reservations.bookings.book(booking)
        return charge

    def release(self) -> None:
        """Let the reservation go without a charge; after `settle` this does nothing."""
        with self._changing:
            ended = self._forgotten.detach() is None
        if not ended:
            self._reservations.bookings.book(Booking(self._held.number))


def asked_now(account: Account) -> Asked:
    """The prices that the account is asked at this moment; nothing without a price list."""
    return account.tariff.asked(time.time_ns()) if account.tariff else FREE


def check_currency(account: Account) -> None:
    """Raises Refused (402) for a budget in another currency than the prices."""
    if account.currency is None or (account.tariff is not None and account.tariff.currency == account.currency):
        return
    why = f"asks prices in {account.tariff.currency}" if account.tariff else "has no price list"
    raise Refused(
        402,
        "insufficient_balance",
        f"Key {account.name!r} has a budget in {account.currency} and this server {why}: "
        "start it with a price list in that currency.",
    )
