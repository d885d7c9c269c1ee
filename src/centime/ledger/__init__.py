"""What was spent: the meter of device-time, energy and tokens, the book it writes, the bill made of it. No torch."""

from __future__ import annotations

from centime.ledger.book import Book, default_book_path
from centime.ledger.meter import Meter, Spent

__all__ = ["Book", "Meter", "Spent", "default_book_path"]
