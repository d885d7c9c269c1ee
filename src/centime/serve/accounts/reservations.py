"""What running requests could cost at most, held in the ledger under the name of this process until they end."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from centime.ledger.shared import is_shared
from centime.ledger.tags import NO_TAGS, RequestTags
from centime.serve.accounts.account import Account
from centime.serve.accounts.bookings import Bookings
from centime.serve.accounts.budgets.lines import CapLine, hold
from centime.serve.accounts.limits import (
    BEAT_NS,
    MINUTE_NS,
    Refused,
    check_concurrency,
    check_rate,
    in_range,
    release_held,
    sign_of_life,
)
from centime.serve.accounts.purses import budgets_over, granted
from centime.serve.accounts.store import Store
from centime.serve.accounts.wanted import Wanted


@dataclass(frozen=True)
class Held:
    """What an admitted request holds: a reservation by its number, of its key's balance and of these lines of budgets.

    came_ns: when it was admitted, since the epoch: the windows that it is counted in. tags: what it says of itself.
    """

    number: int
    account: Account
    came_ns: int
    tags: RequestTags = NO_TAGS
    lines: tuple[CapLine, ...] = ()


class Reservations:
    """One server's reservations, kept in the ledger until `bookings` charges and deletes them.

    Safe for threads and several processes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._holder = uuid.uuid4().hex
        self._seen_ns = time.monotonic_ns()  # when this process last gave a sign of life
        self.bookings = Bookings(store)

    def reserve(self, account: Account, asks: Wanted, came_ns: int, *, priced: bool = True) -> Held:
        """Count a request against its key's limits and hold what it asks for.

        priced: its prices are known; else they are said before `raise_to`, and no budget is held of until then. Raises
        Refused, and then nothing is counted: 400 for more than any request may cost, 402 when what is left might not
        pay it, 429 beyond the key's limits, 503 while the ledger cannot be written.
        """
        asks = in_range(asks, account)
        with self._reserving() as connection:
            if account.concurrency is not None:
                check_concurrency(connection, account.name, account.concurrency)
            over = budgets_over(connection, account, NO_TAGS, came_ns, priced=priced)
            tokens = granted(connection, account, over, asks)
            if account.per_minute is not None:
                check_rate(connection, account.name, account.per_minute)
            self.keep_alive(connection)
            (number,) = connection.execute(
                "INSERT INTO reservations (key, holder, pico) VALUES (?, ?, ?) RETURNING id",
                (account.name, self._holder, asks.of(tokens)),
            ).fetchone()
            lines = tuple(one.line for one in over if priced)
            hold(connection, number, lines)
            return Held(number, account, came_ns, lines=lines)

    def raise_to(self, held: Held, asks: Wanted, tags: RequestTags) -> tuple[Held, int]:
        """Hold what an admitted request asks for, if that is more than it has, and with how many tokens of output.

        tags: what it says of itself. Raises Refused, but no 429.
        """
        asks = in_range(asks, held.account)
        with self._reserving() as connection:
            over = budgets_over(connection, held.account, tags, held.came_ns)
            lines = tuple(one.line for one in over)
            found = connection.execute("SELECT pico FROM reservations WHERE id = ?", (held.number,)).fetchone()
            if found is not None and found[0] >= asks.most and lines == held.lines:
                return replace(held, tags=tags), asks.tokens
            tokens = granted(connection, held.account, over, asks, held.number)
            pico = max(asks.of(tokens), found[0] if found else 0)  # none: this process was taken for dead
            connection.execute(
                "INSERT INTO reservations (id, key, holder, pico) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET pico = excluded.pico",
                (held.number, held.account.name, self._holder, pico),
            )
            hold(connection, held.number, lines)
            return replace(held, tags=tags, lines=lines), tokens

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

    def sign_on(self, connection: sqlite3.Connection) -> None:
        """This process holds reservations from now on."""
        sign_of_life(connection, self._holder)

    def keep_alive(self, connection: sqlite3.Connection) -> None:
        """A sign of life now and then, for processes that cannot see this one."""
        if time.monotonic_ns() - self._seen_ns > (BEAT_NS if is_shared(connection) else MINUTE_NS):
            sign_of_life(connection, self._holder)
            self._seen_ns = time.monotonic_ns()

    def sign_off(self, connection: sqlite3.Connection) -> None:
        """Lets go of everything that this process holds."""
        release_held(connection, self._holder)
