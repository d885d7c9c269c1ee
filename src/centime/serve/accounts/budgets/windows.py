"""The day or month that a budget is for, in its own time zone, and the instants at which it begins and ends."""

from __future__ import annotations

import datetime
import functools
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from centime.errors import UserError

Window = Literal["day", "month", "ever"]
WINDOWS: tuple[Window, ...] = get_args(Window)
SECOND_NS = 10**9


def window_named(text: str) -> Window:
    """'month' -> 'month'. Raises UserError on another word."""
    for window in WINDOWS:
        if text == window:
            return window
    raise UserError(f"--per {text!r} is no window of a budget; give day, month or ever.")


@functools.lru_cache(maxsize=64)
def zone_named(name: str) -> ZoneInfo:
    """The time zone of a name such as Europe/Paris. Raises UserError where there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise UserError(
            f"--zone {name!r} is no time zone that this machine knows; give one such as UTC, Europe/Paris or "
            "America/New_York (`pip install tzdata` brings them to a machine without any)."
        ) from None


def begin_ns(window: Window, zone: str, wall_ns: int) -> int:
    """When the window around a moment began, in nanoseconds since the epoch; 0 of one without end.

    A day begins at midnight of its zone, or where the clock is set forward over midnight, at the first moment after it.
    """
    if window == "ever":
        return 0
    return _instant(_first_day(window, zone, wall_ns), zone)


def end_ns(window: Window, zone: str, wall_ns: int) -> int | None:
    """When the window around a moment ends and the next begins; None of one without end."""
    if window == "ever":
        return None
    first = _first_day(window, zone, wall_ns)
    days = 1 if window == "day" else 32
    after = first + datetime.timedelta(days=days)
    return _instant(after if window == "day" else after.replace(day=1), zone)


def _first_day(window: Window, zone: str, wall_ns: int) -> datetime.date:
    day = datetime.datetime.fromtimestamp(wall_ns // SECOND_NS, zone_named(zone)).date()
    return day.replace(day=1) if window == "month" else day


def _instant(day: datetime.date, zone: str) -> int:
    midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=zone_named(zone))
    return int(midnight.timestamp()) * SECOND_NS
