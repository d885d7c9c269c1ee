"""Accounts: who asks (`authenticate`), whether it may run (`admit`), what it costs (`Ticket.settle`).

What a request could cost at most is reserved before it runs, so that requests side by side, in however many processes,
cannot spend a balance twice. The charge, the balance and the ledger's line are one transaction, committed before
`settle` returns. A reservation belongs to its process and goes with it.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from centime.catalogue.prices import Price
from centime.catalogue.tariffs import Amounts, Hours, Tariff
from centime.ledger.book import name_of
from centime.ledger.served import EngineTime, Served, add_served, hour_of
from centime.serve.accounts.charge import Charge, Used, at_most, decimal, machine_cost
from centime.serve.accounts.keys import hash_of
from centime.serve.accounts.limits import (
    MINUTE_NS,
    Refused,
    check_balance,
    check_concurrency,
    check_rate,
    held,
    sign_of_life,
)
from centime.serve.accounts.store import Store

_FREE = Amounts(0, 0, 0)
_tariff = functools.lru_cache(maxsize=1024)(Tariff.from_text)


@dataclass(frozen=True)
class Account:
    """Whose request it is. `name` is '' for the one anonymous account of a server without keys."""

    name: str
    tariff: Tariff | None  # None: the server has no price list, and the key none of its own
    currency: str | None  # of the budget; None without one
    per_minute: int | None
    concurrency: int | None


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
        self._unbooked: list[tuple[Served, Ticket]] = []  # charges that a locked or full disk did not take
        self._late = threading.Lock()  # guards them
        with self._store.writing() as connection:
            sign_of_life(connection, self._holder)

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
        with self._reserving() as connection:
            number = self._reserve(connection, account, at_most(amounts, prompt_tokens, max_tokens))
        return Ticket(self, account, number, amounts, hours)

    @contextmanager
    def _reserving(self) -> Iterator[sqlite3.Connection]:
        """A transaction after what had to wait. Raises Refused (503) while the ledger cannot be written."""
        try:
            self._catch_up()
            with self._store.writing() as connection:
                yield connection
        except sqlite3.OperationalError as error:
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
        if time.monotonic_ns() - self._seen_ns > MINUTE_NS:
            sign_of_life(connection, self._holder)
            self._seen_ns = time.monotonic_ns()
        row = connection.execute(
            "INSERT INTO reservations (key, holder, pico) VALUES (?, ?, ?) RETURNING id",
            (account.name, self._holder, wanted),
        ).fetchone()
        return int(row[0])

    def _check_balance(self, connection: sqlite3.Connection, account: Account, wanted: int, own: int = 0) -> None:
        if account.currency is not None:
            balance = connection.execute("SELECT balance FROM keys WHERE name = ?", (account.name,)).fetchone()[0]
            check_balance(connection, account.name, balance, account.currency, wanted, own)

    def _raise(self, ticket: Ticket, wanted: int) -> None:
        with self._reserving() as connection:
            row = connection.execute("SELECT pico FROM reservations WHERE id = ?", (ticket.number,)).fetchone()
            own = row[0] if row else 0  # no row: the machine was taken for dead meanwhile
            self._check_balance(connection, ticket.account, max(own, wanted), ticket.number)
            connection.execute(
                "INSERT OR REPLACE INTO reservations (id, key, holder, pico) VALUES (?, ?, ?, ?)",
                (ticket.number, ticket.account.name, self._holder, max(own, wanted)),
            )

    def balance(self, account: Account) -> Balance:
        """What the account may still spend."""
        with self._store.writing() as connection:
            row = connection.execute("SELECT balance, currency FROM keys WHERE name = ?", (account.name,)).fetchone()
            left, currency = row if row else (None, None)
            return Balance(currency, left, held(connection, account.name)[1])

    def machine_time(self, requests_ns: int, idle_ns: int) -> None:
        """Book the engine's two clocks, as running totals since it started: time given to requests, and idle.

        Call it every second or so and once after the last request; a book that cannot be written now is left for the
        next call.
        """
        with suppress(sqlite3.OperationalError):
            self._catch_up()
            with self._store.writing() as connection:
                self._engine.report(connection, requests_ns, idle_ns)

    def close(self) -> None:
        """Release what still runs and close the file. Charges that could not be booked are told on standard error."""
        with suppress(sqlite3.OperationalError):
            self._catch_up()
            with self._store.writing() as connection:
                connection.execute("DELETE FROM reservations WHERE holder = ?", (self._holder,))
                connection.execute("DELETE FROM holders WHERE id = ?", (self._holder,))
        if self._unbooked:
            lost = sum(row.list_pico for row, _ in self._unbooked)
            print(
                f"centime: the ledger {self._store.path} cannot be written: {len(self._unbooked)} charges of "
                f"{decimal(lost)} {self._unbooked[0][0].currency} in all are missing from it.",
                file=sys.stderr,
            )
        self._store.close()

    def _settle(self, ticket: Ticket, used: Used) -> Charge:
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
        row = Served(
            hour_of(time.time_ns()), self._run, self._run_path or "", ticket.account.name, charge.price_list,
            charge.currency, charge.hours, 1, used.prompt_tokens, used.hit_tokens, used.output_tokens,
            used.machine_ns * self._devices, charge.hit_amount, charge.miss_amount, charge.output_amount,
        )  # fmt: skip
        try:
            self._catch_up()
            with self._store.writing() as connection:
                _book(connection, row, ticket)
        except sqlite3.OperationalError:  # locked for ten seconds, or a full disk: with the next request
            with self._late:
                self._unbooked.append((row, ticket))
        return charge

    def _catch_up(self) -> None:
        """Book what could not be booked before. Raises sqlite3.OperationalError while it still cannot."""
        with self._late:
            if self._unbooked:
                with self._store.writing() as connection:
                    for row, ticket in self._unbooked:
                        _book(connection, row, ticket)
                self._unbooked.clear()

    def _release(self, ticket: Ticket) -> None:
        with suppress(sqlite3.OperationalError), self._store.writing() as connection:
            connection.execute("DELETE FROM reservations WHERE id = ?", (ticket.number,))


class Ticket:
    """One admitted request: settle it with what it used, or release it when nothing was. The first of them counts."""

    def __init__(self, accounts: Accounts, account: Account, number: int, amounts: Amounts, hours: Hours) -> None:
        self._accounts, self.account, self.number = accounts, account, number
        self.amounts, self.hours = amounts, hours
        self._done = False

    def raise_to(self, *, prompt_tokens: int, max_tokens: int) -> None:
        """Reserve what the request could cost, at the ticket's own prices, where it holds less; the limits count once.

        Raises Refused: 402 when the balance might not pay it, 503 while the ledger cannot be written. The ticket stays
        good all the same, with what it held.
        """
        if self._done:
            raise RuntimeError("a request is settled or released once")
        self._accounts._raise(self, at_most(self.amounts, prompt_tokens, max_tokens))

    def settle(self, used: Used) -> Charge:
        """Charge what was used and let the reservation go, committed before this returns."""
        if self._done:
            raise RuntimeError("a request is settled or released once")
        self._done = True
        return self._accounts._settle(self, used)

    def release(self) -> None:
        """Let the reservation go without a charge; after `settle` this does nothing."""
        if not self._done:
            self._done = True
            self._accounts._release(self)


def _book(connection: sqlite3.Connection, row: Served, ticket: Ticket) -> None:
    """The charge on the bill and on the balance; the reservation is let go."""
    add_served(connection, row)
    connection.execute(
        "UPDATE keys SET balance = balance - ? WHERE name = ? AND balance IS NOT NULL", (row.list_pico, row.key)
    )
    connection.execute("DELETE FROM reservations WHERE id = ?", (ticket.number,))
