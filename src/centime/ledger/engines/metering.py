"""An engine metered until its time is over or a signal says so, and booked meanwhile."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from centime.addresses import shown_address
from centime.errors import UserError
from centime.ledger.book import Book
from centime.ledger.energy import EnergyCounter
from centime.ledger.engines.engine_device import engine_device
from centime.ledger.engines.statements import Statements, host_of
from centime.ledger.engines.watch import EngineEnergy, EngineWatch, readings
from centime.ledger.imports.terms import Terms

BOOK_EVERY_NS = 10 * 10**9  # a kill loses no more than this


def metered(book: Book, origin: str, terms: Terms, seconds: float | None, every: float) -> EngineWatch:
    """Reads `origin` every so many seconds, for `seconds` (None: until a signal), and books its hours in `book`.

    A ledger that is locked or a disk that is full is tried again at the next turn. Raises UserError where the engine
    does not answer at the start, is metered by another process, or the ledger cannot be written at the end.
    """
    devices = terms.devices or 1
    watch = EngineWatch(origin, devices, int(every * 1e9))
    device = engine_device(origin, host_of(origin), terms.device, devices)
    watch.meter = EngineEnergy(EnergyCounter(device, devices), devices)
    statements: Statements | None = None
    booked_ns = 0
    with book.metering(origin) as keep, _until_signal() as stop:
        for reading in readings(watch, seconds, stop.wait):
            keep()
            if statements is None:
                statements, booked_ns = Statements(shown_address(origin), terms, reading.moment_ns), reading.moment_ns
            if reading.moment_ns - booked_ns >= BOOK_EVERY_NS:
                booked_ns = reading.moment_ns
                _write(book, watch, statements)
    if statements is not None:
        failed = _write(book, watch, statements)
        if failed is not None:
            raise UserError(f"the ledger {book.path} cannot be written ({failed}); what was metered is not in it.")
    return watch


def _write(book: Book, watch: EngineWatch, statements: Statements) -> sqlite3.Error | None:
    try:
        book.take_in(statements.of(watch.unbooked()))
    except sqlite3.Error as error:
        return error
    watch.booked()
    return None


@contextmanager
def _until_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, in the main thread; anywhere else they are others' to handle."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(*_: Any) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
