"""What the reader of a bill has to know beside its figures."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from centime.catalogue.prices import STALE_DAYS, first_day
from centime.ledger.interval import OPEN, RECOVERED, Interval
from centime.ledger.process import this_process
from centime.units import format_device_time, plural


def notes_of(chosen: list[Interval]) -> list[str]:
    """What the reader has to know: assumptions, old prices, missing prices, kills, runs still going on."""
    notes = []
    for text in sorted({i.price_note for i in chosen if i.price_kind == "assumed" and i.price_note}):
        notes.append(f"cost assumed: {text}")
    for date in sorted({i.price_date for i in chosen if i.price_date and _age(i) > STALE_DAYS}):
        oldest = max(_age(i) for i in chosen if i.price_date == date)
        notes.append(
            f"the price of {date} was {plural(oldest, 'day')} old when it was used (more than {STALE_DAYS}): "
            "give yours with --price '$2/h'"
        )
    for device in sorted({i.device for i in chosen if i.price_per_hour is None}):
        seconds = sum(i.device_ns for i in chosen if i.price_per_hour is None and i.device == device) / 1e9
        notes.append(f"{format_device_time(seconds)} of {device} has no price: give one with --price '$2/h'")
    if len({i.currency for i in chosen if i.currency}) > 1:
        notes.append("several currencies: costs are not added up")
    if any(i.energy_source == "tdp" for i in chosen):
        notes.append("energy estimated from power at full load: an upper bound for the device alone")
    recovered = [i for i in chosen if i.state == RECOVERED]
    if recovered:
        seconds = sum(i.estimated_ns * i.devices for i in recovered) / 1e9
        ends = "process was" if len(recovered) == 1 else "processes were"
        notes.append(
            f"{len(recovered)} {ends} killed: {seconds:.2f} device-seconds after the last heartbeat are estimated"
        )
    still_open = len(running(chosen))
    if still_open:
        notes.append(f"{plural(still_open, 'interval')} still open: booked up to the last heartbeat")
    return notes


def running(chosen: Iterable[Interval]) -> list[Interval]:
    """Intervals that are still open, but for this process's own: whoever prints its own bill is not done, and knows."""
    own = this_process()
    return [i for i in chosen if i.state == OPEN and (i.boot, i.pid, i.started) != (own.boot, own.pid, own.started)]


def _age(interval: Interval) -> int:
    """How old the price was, in days, when the interval began."""
    used = datetime.datetime.fromtimestamp(interval.wall_start_ns / 1e9, datetime.UTC).date()
    return (used - first_day(interval.price_date)).days if interval.price_date else 0
