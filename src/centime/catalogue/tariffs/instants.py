"""Instants as nanoseconds since the epoch: what a price list takes effect at, what a request is priced by."""

from __future__ import annotations

import datetime

from centime.errors import UserError


def instant_ns(text: str) -> int:
    """'2026-08-22T16:00Z' -> nanoseconds since the epoch; an offset does too. Raises UserError on anything else, above
    all on an instant that does not say its zone."""
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            raise ValueError
        since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise UserError(
            f"{text.strip()[:60]!r} is no instant; write one with its zone, such as 2026-08-22T16:00Z or "
            "2026-08-23T00:00+08:00."
        ) from None
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def as_utc(wall_ns: int) -> datetime.datetime:
    """The moment, to the second. Raises UserError past the year 9999."""
    try:
        return datetime.datetime.fromtimestamp(wall_ns // 10**9, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise UserError(f"{wall_ns} ns since 1970 is no date of a calendar; give an instant of these years.") from None
