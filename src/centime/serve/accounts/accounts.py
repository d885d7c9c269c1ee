"""Accounts: who asks (`authenticate`), whether it may run (`admit`), what it costs (`Ticket.settle`).

What a request could cost at most is reserved before it runs, so that requests side by side, in however many processes,
cannot spend a balance twice. The charge, the balance and the ledger's line are one transaction, committed before
`settle` returns. A reservation belongs to its process and goes with it.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from centime.catalogue.prices import Price
from centime.catalogue.tariffs import Amounts, Tariff
from centime.errors import UserError
from centime.ledger.book import name_of
from centime.ledger.served import EngineTime, Served, hour_of
from centime.serve.accounts.account import Account, Balance
from centime.serve.accounts.bookings import Bookings
from centime.serve.accounts.charge import MOST_PICO, Charge, Used, at_most, check_use, machine_cost
from centime.serve.accounts.keys import hash_of
from centime.serve.accounts.limits import (
    MINUTE_NS,
    Refused,
    check_balance,
    check_concurrency,
    check_range,
    check_rate,
    held,
    sign_of_life,
)
from centime.serve.accounts.store import Store, set_price_list
from centime.serve.accounts.ticket import Ticket

_FREE = Amounts(0, 0, 0)
_tariff = functools.lru_cache(maxsize=1024)(Tariff.from_text)


class Accounts:
    """The keys and charges of one server, in the ledger at `path` (the person's own by default).

    run: whose serving this is on the bill: a model folder or a name. tariff: prices for keys that have none of their
    own. price, devices: what an hour of one device costs, and how many the server works on, for the machine's side.
    Safe for threads and for several processes on one file. Raises UserError when the file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        run: str | os.PathLike[str] = "serve",
        tariff: Tariff | None = None,
        price: Price | None = None,
        devices: int = 1,
    ) -> None:
        self._store = Store(path)
        self._run, self._run_path = name_of(run)
        self.tariff, self._price, self._devices = tariff, price, devices
        self._holder = uuid.uuid4().hex
        self._engine = EngineTime(self._run, self._run_path, devices)
        self._seen_ns = time.monotonic_ns()  # when it last gave a sign of life
        self.bookings = Bookings(self._store)
        try:
            with self._store.writing() as connection:
                sign_of_life(connection, self._holder)
                set_price_list(connection, self._run, self._run_path or "", tariff)
        except sqlite3.OperationalError as error:
            raise UserError(
                f"the ledger {self._store.path} cannot be written ({error}), and a server charges to it; free the disk "
                "or end what holds the file."
            ) from None

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
                "revoked_ns FROM keys WHERE hash = ?",
                hash_of(secret),
            )
            row = found[0] if found else None
        if row is None:
            if self.open:
                return Account("", self.tariff, None, None, None)
            said = f"the key ending in {secret[-4:]!r} is not one of this server's" if secret else "no API key was sent"
            raise Refused(
                401, "invalid_api_key", f"Authentication failed: {said}. Send 'Authorization: Bearer sk-...'."
            )
        name, tariff, currency, per_minute, concurrency, revoked_ns = row
        if revoked_ns is not None:
            raise Refused(401, "invalid_api_key", f"Authentication failed: key {name!r} was revoked.")
        own = _tariff(tariff) if isinstance(tariff, str) else self.tariff
        return Account(name, own, currency, per_minute, concurrency)  # type: ignore[arg-type]

    def admit(self, account: Account, *, prompt_tokens: int = 0, max_tokens: int = 0) -> Ticket:
        """Count the request against the key's limits and reserve what it could cost, at this moment's prices.

        With no tokens, as before a body has been read, nothing is reserved and only a key with nothing left is
        refused; `Ticket.raise_to` reserves. Raises Refused, and then nothing is counted: 402 when the balance might
        not pay it, 429 beyond the key's limits, with `retry_after`, 503 while the ledger cannot be written.
        """
        amounts, hours = account.tariff.at(time.time_ns()) if account.tariff else (_FREE, "")
        if account.currency is not None and (account.tariff is None or account.tariff.currency != account.currency):
            asks = f"asks prices in {account.tariff.currency}" if account.tariff else "has no price list"
            raise Refused(
                402,
                "insufficient_balance",
                f"Key {account.name!r} has a budget in {account.currency} and this server {asks}: "
                "start it with a price list in that currency.",
            )
        wanted = at_most(amounts, prompt_tokens, max_tokens)
        check_range(wanted, account)
        with self._reserving() as connection:
            number = self._reserve(connection, account, wanted)
        return Ticket(self, account, number, amounts, hours)

    def hold(self, ticket: Ticket, wanted: int) -> None:
        """Reserve `wanted` pico-units for an admitted request, if that is more than it holds. Raises Refused."""
        check_range(wanted, ticket.account)
        with self._reserving() as connection:
            found = connection.execute("SELECT pico FROM reservations WHERE id = ?", (ticket.number,)).fetchone()
            if found is None or found[0] < wanted:  # none: this process was taken for dead
                self._check_balance(connection, ticket.account, wanted, ticket.number)
                connection.execute(
                    "INSERT OR REPLACE INTO reservations (id, key, holder, pico) VALUES (?, ?, ?, ?)",
                    (ticket.number, ticket.account.name, self._holder, wanted),
                )

    @contextmanager
    def _reserving(self) -> Iterator[sqlite3.Connection]:
        """A transaction after what had to wait. Raises Refused (503) while the ledger cannot be written."""
        try:
            self.bookings.catch_up()
            with self._store.writing() as connection:
                yield connection
        except sqlite3.Error as error:
            raise Refused(
                503,
                "ledger_unavailable",
                f"The ledger cannot be written just now ({error}), so nothing can be charged.",
            ) from None

    def _reserve(self, connection: sqlite3.Connection, account: Account, wanted: int) -> int:
        """The reservation's number. Raises Refused, and then nothing is changed."""
        if account.concurrency is not None:
            check_concurrency(connection, account.name, account.concurrency)
        self._check_balance(connection, account, wanted)
        if account.per_minute is not None:
            check_rate(connection, account.name, account.per_minute)
        self._live(connection)
        row = connection.execute(
            "INSERT INTO reservations (key, holder, pico) VALUES (?, ?, ?) RETURNING id",
            (account.name, self._holder, wanted),
        ).fetchone()
        return int(row[0])

    def _live(self, connection: sqlite3.Connection) -> None:
        """A sign of life a minute, for processes that cannot see this one."""
        if time.monotonic_ns() - self._seen_ns > MINUTE_NS:
            sign_of_life(connection, self._holder)
            self._seen_ns = time.monotonic_ns()

    def _check_balance(self, connection: sqlite3.Connection, account: Account, wanted: int, own: int = 0) -> None:
        if account.currency is not None:
            balance = connection.execute("SELECT balance FROM keys WHERE name = ?", (account.name,)).fetchone()[0]
            check_balance(connection, account.name, balance, account.currency, wanted, own)

    def balance(self, account: Account) -> Balance:
        """What the account may still spend. What the ledger knows, also while it cannot be written."""
        with self._store.reading() as connection:
            row = connection.execute("SELECT balance, currency FROM keys WHERE name = ?", (account.name,)).fetchone()
            left, currency = row if row else (None, None)
            return Balance(currency, left, held(connection, account.name)[1])

    def unpayable(self) -> dict[str, list[str]]:
        """Names of keys by the currency of their budgets, which this server's prices cannot be paid from."""
        found: dict[str, list[str]] = {}
        own = self.tariff.currency if self.tariff else ""
        for name, currency in self._store.read(
            "SELECT name, currency FROM keys WHERE balance IS NOT NULL AND tariff IS NULL AND revoked_ns IS NULL "
            "AND currency != ? ORDER BY name",
            own,
        ):
            found.setdefault(str(currency), []).append(str(name))
        return found

    def machine_time(self, requests_ns: int, idle_ns: int) -> None:
        """Book the engine's two clocks, as running totals since it started: time given to requests, and idle.

        Call it every second or so and once after the last request; what cannot be written now is written by a later
        call, on the hour that it belongs to.
        """
        self._engine.read(requests_ns, idle_ns)
        with suppress(sqlite3.Error):
            self.bookings.catch_up()
            with self._store.writing() as connection:
                self._engine.write(connection)
                self._live(connection)

    def close(self) -> None:
        """Release what still runs and close the file. Charges that could not be booked are told on standard error."""
        with suppress(sqlite3.Error):
            self.bookings.catch_up()
            with self._store.writing() as connection:
                self._engine.write(connection)
                connection.execute("DELETE FROM reservations WHERE holder = ?", (self._holder,))
                connection.execute("DELETE FROM holders WHERE id = ?", (self._holder,))
        self.bookings.close()
        self._store.close()

    def charge(self, ticket: Ticket, used: Used) -> tuple[Charge, Served]:
        """What a request is charged, and its line on the bill. Raises ValueError for a use that cannot be."""
        check_use(used, self._devices)
        amounts, tariff = ticket.amounts, ticket.account.tariff
        charge = Charge(
            machine_cost(used.machine_ns, self._devices, self._price),
            self._price.currency if self._price else "",
            used.hit_tokens * amounts.hit,
            (used.prompt_tokens - used.hit_tokens) * amounts.miss,
            used.output_tokens * amounts.output,
            tariff.currency if tariff else "",
            tariff.name if tariff else "",
            ticket.hours,
        )
        if charge.list_price > MOST_PICO:
            raise ValueError(f"a request of {used} costs more than any may")
        row = Served(
            hour_of(time.time_ns()), self._run, self._run_path or "", ticket.account.name, charge.price_list,
            charge.currency, charge.hours, 1, used.prompt_tokens, used.hit_tokens, used.output_tokens,
            used.machine_ns * self._devices, charge.hit_amount, charge.miss_amount, charge.output_amount,
        )  # fmt: skip
        return charge, row
