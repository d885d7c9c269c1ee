"""Accounts: who asks (`authenticate`), whether it may run (`admit`), what it costs (`Ticket.settle`).

What a request could cost at most is reserved before it runs, so that requests side by side, in however many processes,
cannot spend a balance twice. The charge, the balance and the ledger's line are one transaction, committed before
`settle` returns. A reservation belongs to its process and goes with it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from centime.catalogue.prices import Price
from centime.catalogue.tariffs import Tariff
from centime.errors import UserError
from centime.ledger.served import EngineTotals
from centime.serve.accounts.account import Account, Balance
from centime.serve.accounts.budgets.alerts import deliver, due
from centime.serve.accounts.keys import hash_of
from centime.serve.accounts.limits import Refused, held
from centime.serve.accounts.machine import Machine
from centime.serve.accounts.reservations import Reservations
from centime.serve.accounts.store import Store, set_price_list
from centime.serve.accounts.ticket import Ticket, asked_now, check_currency
from centime.serve.accounts.wanted import wanted

BOOKED_EVERY_S = 1.0  # between two readings of the engine's clocks
_tariff = functools.lru_cache(maxsize=1024)(Tariff.from_text)


class Accounts:
    """The keys and charges of one server, in the ledger at `path` (the person's own by default).

    run: whose serving this is on the bill: a model folder or a name. tariff: prices for keys that have none of their
    own. price, devices: what an hour of one device costs, and how many the server works on, for the machine's side.
    priced_later: a request's prices are those of the model it asks for, known once its body is: `Ticket.price` sets
    them, and nothing is reserved before. Safe for threads and for several processes on one file. Raises UserError when
    the file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        run: str | os.PathLike[str] = "serve",
        tariff: Tariff | None = None,
        price: Price | None = None,
        devices: int = 1,
        priced_later: bool = False,
    ) -> None:
        self._store = Store(path)
        self.tariff = tariff
        self._priced_later = priced_later
        self._machine = Machine(run, price, devices)
        self._machines = [self._machine]
        name, folder = self._machine.pricing.run, self._machine.pricing.run_path
        self._reservations = Reservations(self._store)
        try:
            with self._store.writing() as connection:
                self._reservations.sign_on(connection)
                set_price_list(connection, name, folder, tariff)
        except sqlite3.OperationalError as error:
            raise UserError(
                f"the ledger {self._store.path} cannot be written ({error}), and a server charges to it; free the disk "
                "or end what holds the file."
            ) from None

    @property
    def store(self) -> Store:
        """The tables of keys."""
        return self._store

    @property
    def machine(self) -> Machine:
        """The server's own."""
        return self._machine

    @property
    def open(self) -> bool:
        """Whether anybody may ask: no key was ever made. Such a server is for this machine alone."""
        return not self._store.read("SELECT 1 FROM keys LIMIT 1")

    def authenticate(self, secret: str | None) -> Account:
        """The account of a secret (what follows 'Bearer '). Raises Refused (401); any secret will do while `open`."""
        row = None
        if secret:
            found = self._store.read(
                "SELECT name, tariff, CASE WHEN balance IS NULL THEN NULL ELSE currency END, per_minute, concurrency, "
                "revoked_ns, place, (SELECT at_ns FROM key_ends WHERE key = name) FROM keys WHERE hash = ? "
                "OR name = (SELECT key FROM former_secrets WHERE hash = ? AND until_ns > ?)",
                hash_of(secret),
                hash_of(secret),
                time.time_ns(),
            )
            row = found[0] if found else None
        if row is None:
            if self.open:
                return Account("", self.tariff, None, None, None)
            said = f"the key ending in {secret[-4:]!r} is not one of this server's" if secret else "no API key was sent"
            raise Refused(
                401, "invalid_api_key", f"Authentication failed: {said}. Send 'Authorization: Bearer sk-...'."
            )
        name, tariff, currency, per_minute, concurrency, revoked_ns, place, end_ns = row
        if isinstance(end_ns, int) and end_ns <= time.time_ns():
            raise Refused(401, "invalid_api_key", f"Authentication failed: key {name!r} has expired.")
        if revoked_ns is not None:
            raise Refused(401, "invalid_api_key", f"Authentication failed: key {name!r} was revoked.")
        own = _tariff(tariff) if isinstance(tariff, str) else None
        return Account(name, own or self.tariff, currency, per_minute, concurrency, own is not None, place)  # type: ignore[arg-type]

    def admit(self, account: Account, *, prompt_tokens: int = 0, max_tokens: int = 0) -> Ticket:
        """Count the request against the key's limits and reserve what it could cost, at this moment's prices.

        With no tokens, as before a body has been read, nothing is reserved and only a key with nothing left is
        refused; `Ticket.raise_to` reserves. Raises Refused, and then nothing is counted: 402 when the balance might
        not pay it, 429 beyond the key's limits, with `retry_after`, 503 while the ledger cannot be written.
        """
        asked, now = asked_now(account), time.time_ns()
        if not self._priced_later:
            check_currency(account)
        asks = wanted(asked.amounts, prompt_tokens, max_tokens)
        held = self._reservations.reserve(account, asks, now, priced=not self._priced_later)
        return Ticket(self._reservations, self._machine.pricing, held, asked)

    def balance(self, account: Account) -> Balance:
        """What the account may still spend. What the ledger knows, also while it cannot be written."""
        with self._store.reading() as connection:
            row = connection.execute("SELECT balance, currency FROM keys WHERE name = ?", (account.name,)).fetchone()
            left, currency = row if row else (None, None)
            return Balance(currency, left, held(connection, account.name)[1])

    def unpayable(self, asked: Collection[str] = ()) -> dict[str, list[str]]:
        """Names of keys by the currency of their budgets, which this server's prices cannot be paid from.

        asked: currencies of the models' own prices.
        """
        found: dict[str, list[str]] = {}
        payable = {*asked, *([self.tariff.currency] if self.tariff else [])}
        for name, currency in self._store.read(
            "SELECT name, currency FROM keys WHERE balance IS NOT NULL AND tariff IS NULL AND revoked_ns IS NULL "
            "ORDER BY name"
        ):
            if currency not in payable:
                found.setdefault(str(currency), []).append(str(name))
        return found

    def add_machine(self, machine: Machine) -> None:
        """One more that answers requests and is booked apart, until the accounts are closed."""
        self._machines.append(machine)

    def offer(self, name: str, tariff: Tariff) -> None:
        """A model or a server behind this one asks these prices: budgets in their currency can be paid from here."""
        with suppress(sqlite3.Error), self._store.writing() as connection:
            set_price_list(connection, name, "", tariff)

    def machine_time(self, totals: EngineTotals, machine: Machine | None = None) -> None:
        """Book the engine's two clocks, as running totals since it started: time given to requests, and idle.

        machine: one of `add_machine`, else the server's own. Call it every second or so and once after the last
        request; what cannot be written now is written by a later call, on the hour that it belongs to.
        """
        clock = (machine or self._machine).clock
        clock.read(totals)
        with suppress(sqlite3.Error), self._reservations.writing() as connection:
            clock.write(connection)
            self._reservations.keep_alive(connection)

    async def book_machine_time(self, clocks: Callable[[], EngineTotals]) -> None:
        """Books what `clocks` reads, the engine's totals since its start, every second until it is cancelled; beside
        it, whoever is to be told of budgets is told."""
        telling = asyncio.create_task(self.telling())
        try:
            while True:
                await asyncio.sleep(BOOKED_EVERY_S)
                await asyncio.to_thread(lambda: self.machine_time(clocks()))
        finally:
            telling.cancel()

    async def telling(self) -> None:
        """Tells whoever is to be told of budgets, every second until it is cancelled."""
        while True:
            await asyncio.sleep(BOOKED_EVERY_S)
            await asyncio.to_thread(self.tell_alerts)

    def tell_alerts(self) -> None:
        """Send what is to be told of budgets, as far as somebody answers; call it every second or so, beside all else.

        It waits for webhooks. What fails, or finds the ledger locked, is sent by a later call.
        """
        with suppress(sqlite3.Error):
            if due(self._store.read):
                deliver(self._reservations.writing)

    def close(self) -> None:
        """Release what still runs and close the file. Charges that could not be booked are told on standard error."""
        with suppress(sqlite3.Error), self._reservations.writing() as connection:
            for machine in self._machines:
                machine.clock.write(connection)
            self._reservations.sign_off(connection)
        self._reservations.bookings.close()
        self._store.close()
