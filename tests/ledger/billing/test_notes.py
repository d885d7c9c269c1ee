"""What a bill says beside its figures, and when it says nothing."""

from __future__ import annotations

import datetime

from tests.ledger.made import at, made

from centime.catalogue.prices import STALE_DAYS
from centime.ledger import Book
from centime.ledger.billing.bill import bill_of


def test_a_bill_of_what_was_measured_at_a_fresh_price_needs_no_note(book: Book) -> None:
    """On the last day that the price is taken for fresh; a day later its age is said, and nothing else."""
    day = datetime.date(2026, 6, 1) + datetime.timedelta(days=STALE_DAYS)
    book.write([made(energy_source="rapl", wall_start_ns=at(f"{day}T12:00"))])
    assert bill_of(book).notes == []
    book.write([made(energy_source="rapl", wall_start_ns=at(f"{day + datetime.timedelta(days=1)}T12:00"))])
    [note] = bill_of(book).notes
    assert note.startswith(f"the price of 2026-06-01 was {STALE_DAYS + 1} days old when it was used")
