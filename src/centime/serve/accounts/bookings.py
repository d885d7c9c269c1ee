"""Charges and releases on their way to the ledger: made at once where it can be written, else kept until it can.

A ledger that another process holds locked, or a full disk, is nobody's request's fault: the request ends as it would,
and what it leaves to be written waits here, in order, and goes in with the next write that succeeds.
"""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from centime.catalogue.tariffs import decimal
from centime.ledger.requests import ServedRequest, add_request
from centime.ledger.served import Served, add_served
from centime.ledger.shared import is_shared
from centime.ledger.tagged import add_tagged
from centime.ledger.tags import NO_TAGS, RequestTags
from centime.serve.accounts.budgets.lines import CapLine, charge
from centime.serve.accounts.store import LOWEST, Store


@dataclass(eq=False)
class Booking:
    """The end of a request: its reservation is let go, `row` charged, and the request `itself` kept; without a row it
    cost nothing."""

    reservation: int
    row: Served | None = None
    itself: ServedRequest | None = None
    lines: Sequence[CapLine] = ()  # of budgets, which `row` is counted in too
    place: str = ""  # where the key stands
    tags: RequestTags = NO_TAGS
    tried: bool = False  # by somebody, whether or not it went in


class Bookings:
    """Writes the ends of requests. Safe for threads: those that come together go in together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # What comes in. A SimpleQueue, because a finaliser may put to it while its own thread does anything else.
        self._coming: queue.SimpleQueue[Booking] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: list[Booking] = []
        self._closed = False

    def later(self, booking: Booking) -> None:
        """Queues a booking for the next write. Never waits, takes no lock, cannot fail: finalisers may call it."""
        self._coming.put(booking)

    def book(self, booking: Booking) -> None:
        """Writes a booking now if the ledger can be written, else with a later write."""
        self._coming.put(booking)
        with self._lock:
            if not booking.tried:  # else whoever held the lock before took it along
                with suppress(sqlite3.Error):
                    self._write()

    def catch_up(self) -> None:
        """Writes what waits. Raises sqlite3.Error while the ledger cannot be written, and nothing is lost."""
        with self._lock:
            self._write()

    def close(self) -> None:
        """Nothing will be written any more: what waits is told on standard error, as is what comes yet."""
        with self._lock:
            self._closed = True
            self._take_in()
            self._tell_lost()

    def _tell_lost(self) -> None:
        lost = Counter[tuple[str, str]]()
        for row in (booking.row for booking in self._waiting if booking.row is not None):
            lost[row.key, row.currency] += row.list_pico
        self._waiting.clear()
        if lost:
            each = ", ".join(f"{key or 'without a key'} {decimal(pico)} {name}" for (key, name), pico in lost.items())
            print(
                f"centime: the ledger {self._store.path} cannot be written; what was served is missing from it and "
                f"from the balances: {each}.",
                file=sys.stderr,
            )

    def _take_in(self) -> None:
        while True:
            try:
                self._waiting.append(self._coming.get_nowait())
            except queue.Empty:
                return

    def _write(self) -> None:
        self._take_in()
        if self._closed:
            self._tell_lost()
        if not self._waiting:
            return
        for booking in self._waiting:
            booking.tried = True
        with self._store.writing() as connection:
            for booking in self._waiting:
                _write(connection, booking)
        self._waiting.clear()


def _write(connection: sqlite3.Connection, booking: Booking) -> None:
    """The charge on the bill, on the balance and on the budgets; the reservation is let go."""
    row = booking.row
    if is_shared(connection) and not _first_time(connection, booking.reservation):
        return
    if row is not None:
        add_served(connection, row)
        if booking.itself is not None:
            add_request(connection, booking.itself, add_tagged(connection, row, booking.place, booking.tags))
        found = connection.execute("SELECT balance FROM keys WHERE name = ?", (row.key,)).fetchone()
        if found is not None and found[0] is not None:
            left = max(LOWEST, found[0] - row.list_pico)
            connection.execute("UPDATE keys SET balance = ? WHERE name = ?", (left, row.key))
        charge(connection, booking.lines, row.list_pico, time.time_ns())
    connection.execute("DELETE FROM budget_held WHERE reservation = ?", (booking.reservation,))
    connection.execute("DELETE FROM reservations WHERE id = ?", (booking.reservation,))


def _first_time(connection: sqlite3.Connection, reservation: int) -> bool:
    """Whether the end of a request is not yet in a shared ledger: one whose connection was lost while it committed
    cannot tell whether it did, and is asked again."""
    return (
        connection.execute(
            "INSERT INTO booked (reservation) VALUES (?) ON CONFLICT (reservation) DO NOTHING RETURNING reservation",
            (reservation,),
        ).fetchone()
        is not None
    )
