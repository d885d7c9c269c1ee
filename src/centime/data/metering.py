"""The data verbs' line to the ledger: what reading and tokenising cost, booked as stage 'data' of the CPU."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from centime.ledger import Book, Meter, Spent, default_book_path


@contextlib.contextmanager
def metered(verb: str, out: Path, price: str | None) -> Iterator[Meter]:
    """A meter for a verb that makes the folder `out`; `price` is the text of --price, or None for the catalogue's.

    Raises UserError on a price that cannot be read or a book that cannot be opened.
    """
    from centime.catalogue.prices import price_for
    from centime.ledger.device import this_device

    device = this_device("cpu")
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with Meter(
            Book(default_book_path()),
            run=out,
            verb=verb,
            stage="data",
            device=device,
            price=price_for(device, price),
        ) as meter:
            yield meter
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _: FrameType | None) -> None:
    """SIGTERM ends the verb as an exception does: temporary files go, the book is closed."""
    raise SystemExit(128 + number)


def spent_line(spent: Spent) -> str:
    """'Spent 12.3s of one CPU, $0.00027.', or, without a price, how to give one."""
    from centime.catalogue.prices import ask_for_price
    from centime.ledger.device import this_device
    from centime.units import format_duration, format_money

    device = this_device("cpu")
    took = f"Spent {format_duration(spent.device_ns / 1e9)} of {device}"
    if spent.cost is None or spent.currency is None:
        return f"{took}; {ask_for_price(device)}."
    return f"{took}, {format_money(spent.cost, spent.currency)}."
