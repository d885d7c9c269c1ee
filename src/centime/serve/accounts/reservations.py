"""What running requests could cost at most, held in the ledger under the name of this process until they end."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from centime.serve.accounts.account import Account
from centime.serve.accounts.bookings import Bookings
from centime.serve.accounts.limits import (
    MINUTE_NS,
    Refused,
    check_balance,
    check_concurrency,
    check_range,
    check_rate,
    sign_of_life,
)
from centime.serve.accounts.store import Store


class Reservations:
    """One server's reservations, kept in the ledger until `bookings` charges and deletes them.

    Safe for threads and several processes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._holder = uuid.uuid4().hex
        self._seen_ns = time.monotonic_ns()  # when this process last gave a sign of life
        self.bookings = Bookings(store)

    def reserve(self, account: Account, wanted: int) -> int:
        """Count a request against its key's limits and hold `wanted` pico-units for it; the reservation's number.

        Raises Refused, and then nothing is counted: 400 for more than any request may cost, 402 when the balance might
        not pay it, 429 beyond the key's limits, 503 while the ledger cannot be written.
        """
        check_range(wanted, account)
        with self._reserving() as connection:
            if account.concurrency is not None:
                check_concurrency(connection, account.name, account.concurrency)
            self._check_balance(connection, account, wanted)
            if account.per_minute is not None:
                check_rate(connection, account.name, account.per_minute)
            self.keep_alive(connection)
            row = connection.execute(
                "INSERT INTO reservations (key, holder, pico) VALUES (?, ?, ?) RETURNING id",
                (account.name, self._holder, wanted),
            ).fetchone()
            return int(row[0])

    def raise_to(self, number: int, account: Account, wanted: int) -> None:
        """Hold `wanted` pico-units for an admitted request, if that is more than it has. Raises Refused, but no 429."""
        check_range(wanted, account)
        with self._reserving() as connection:
            found = connection.execute("SELECT pico FROM reservations WHERE id = ?", (number,)).fetchone()
            if found is None or found[0] < wanted:  # none: this process was taken for dead
                self._check_balance(connection, account, wanted, number)
                connection.execute(
                    "INSERT OR REPLACE INTO reservations (id, key, holder, pico) VALUES (?, ?, ?, ?)",
                    (number, account.name, self._holder, wanted),
                )

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes, after the bookings that waited.

        Raises sqlite3.Error while the ledger cannot be written.
        """
        self.bookings.catch_up()
        with self._store.writing() as connection:
            yield connection

    @contextmanager
    def _reserving(self) -> Iterator[sqlite3.Connection]:
        """The same for a request, which is refused (503) while the ledger cannot be written."""
        try:
            with self.writing() as connection:
                yield connection
        except sqlite3.Error as error:
            raise Refused(
                503,
                "ledger_unavailable",
                f"The ledger cannot be written just now ({error}), so nothing can be charged.",
            ) from None

    def _check_balance(self, connection: sqlite3.Connection, account: Account, wanted: int, own: int = 0) -> None:
        if account.currency is not None:
            balance = connection.execute("SELECT balance FROM keys WHERE name = ?", (account.name,)).fetchone()[0]
            check_balance(connection, account.name, balance, account.currency, wanted, own)

    def sign_on(self, connection: sqlite3.Connection) -> None:
        """This process holds reservations from now on."""
        sign_of_life(connection, self._holder)

    def keep_alive(self, connection: sqlite3.Connection) -> None:
        """A sign of life a minute, for processes that cannot see this one."""
        if time.monotonic_ns() - self._seen_ns > MINUTE_NS:
            sign_of_life(connection, self._holder)
            self._seen_ns = time.monotonic_ns()

    def sign_off(self, connection: sqlite3.Connection) -> None:
        """Lets go of everything that this process holds."""
        connection.execute("DELETE FROM reservations WHERE holder = ?", (self._holder,))
        connection.execute("DELETE FROM holders WHERE id = ?", (self._holder,))
