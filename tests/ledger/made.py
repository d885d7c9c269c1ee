"""Intervals made by hand, for what real time would make slow."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from centime.ledger.device import Device
from centime.ledger.interval import CLOSED, Interval, begin_interval

CPU = Device("Test CPU", "cpu", 1, 2, 10.0, "assumed", None)
HOUR = 3_600_000_000_000


def at(text: str) -> int:
    """'2026-06-30T23:00' (UTC) as nanoseconds since the epoch."""
    return round(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * 10**9


def made(stage: str = "pretrain", hours: float = 1.0, **changes: Any) -> Interval:
    """A closed interval of `hours` on one $2 device of the run 'tiny'; `changes` are its columns.

    Its monotonic clock goes with the wall clock that it is given, unless it is given one.
    """
    interval = begin_interval(("tiny", "/runs/tiny"), "train", stage, CPU)
    values: dict[str, Any] = {
        "measured_ns": round(hours * HOUR),
        "state": CLOSED,
        "wall_start_ns": at("2026-06-15T12:00"),
        "price_per_hour": 2.0,
        "currency": "USD",
        "price_date": "2026-06-01",
        "price_source": "a test",
        "price_kind": "given",
        "energy_source": "tdp",
        "energy_uj": round(hours * HOUR * 10 / 1000),
    }
    values |= changes
    values.setdefault("mono_start_ns", interval.mono_start_ns + values["wall_start_ns"] - at("2026-06-15T12:00"))
    for name, value in values.items():
        setattr(interval, name, value)
    return interval


def in_one_piece(intervals: list[Interval]) -> None:
    """Each interval begins at the nanosecond at which the one before it ended."""
    for before, after in itertools.pairwise(intervals):
        assert before.mono_start_ns + before.measured_ns == after.mono_start_ns
