"""Hours of the day, days of the week and holidays that have the peak price."""

from __future__ import annotations

import datetime
import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from centime.catalogue.tariffs.chinese_days import BEIJING, decreed, kind_of
from centime.catalogue.tariffs.instants import as_utc, instant_ns
from centime.csv_files import read_rows
from centime.errors import UserError

TABLE = Path(__file__).parent / "peak_hours.csv"
DAY_MINUTES = 24 * 60
DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Holidays = Literal["", "off-peak", "unknown"]


@dataclass(frozen=True)
class PeakHours:
    """Windows of the UTC day, in minutes from midnight (a window may pass midnight), on some days of the week.

    offset: minutes by which the calendar of those days is ahead of UTC, 480 for Beijing's. holidays: what China's
    public holidays are, 'off-peak', 'unknown' where the list did not say, '' where they are days like others.
    """

    windows: tuple[tuple[int, int], ...]
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)  # Monday is 0
    offset: int = 0
    holidays: Holidays = ""

    def contain(self, wall_ns: int) -> bool:
        """Whether a moment (nanoseconds since the epoch) is of the peak; the day is that of its window's start."""
        return any(self._is_peak(day) for day in self._days(wall_ns))

    def doubt(self, wall_ns: int) -> str:
        """Why `contain` is what the list's words mean and not what they say, in a sentence; '' where they are plain."""
        return next(filter(None, map(self._unsaid, self._days(wall_ns))), "")

    @property
    def share(self) -> float:
        """The share of a week without holidays that is of the peak."""
        week = 7 * DAY_MINUTES
        peak = {
            (day * DAY_MINUTES + minute) % week
            for day in self.days
            for start, end in self.windows
            for minute in range(start, end if start < end else end + DAY_MINUTES)
        }
        return len(peak) / week

    def _days(self, wall_ns: int) -> list[datetime.date]:
        """The days of the calendar, by the starts of the windows that a moment lies in."""
        moment = as_utc(wall_ns)
        minute, midnight = moment.hour * 60 + moment.minute, moment.replace(hour=0, minute=0, second=0)
        starts = []
        for start, end in self.windows:
            if start < end:
                if start <= minute < end:
                    starts.append(start)
            elif minute >= start:
                starts.append(start)
            elif minute < end:
                starts.append(start - DAY_MINUTES)
        return [(midnight + datetime.timedelta(minutes=start + self.offset)).date() for start in starts]

    def _is_peak(self, day: datetime.date) -> bool:
        return day.weekday() in self.days and not (self.holidays == "off-peak" and kind_of(day) == "holiday")

    def _unsaid(self, day: datetime.date) -> str:
        if not self.holidays:
            return ""
        kind, in_days = kind_of(day), day.weekday() in self.days
        if in_days and kind == "holiday" and self.holidays == "unknown":
            return f"{day} was a Chinese public holiday, of which the list said nothing then: charged as any other day"
        if not in_days and kind == "working weekend":
            return f"{day} is worked in China to make up for a holiday; the list names weekends alone: off-peak"
        if in_days and kind != "holiday" and self.holidays == "off-peak" and not decreed(day.year):
            return (
                f"the Chinese holidays of {day.year} are not decreed as far as centime knows: charged as any other day"
            )
        return ""

    def __str__(self) -> str:
        windows = ", ".join(f"{clock(start)}-{clock(end)}" for start, end in self.windows)
        days = "" if len(self.days) == 7 else " " + ",".join(DAY_NAMES[day] for day in self.days)
        days = days.replace("Mon,Tue,Wed,Thu,Fri", "Mon-Fri")
        beijing = " in Beijing" if days and self.offset else ""
        but = " but Chinese public holidays" if self.holidays == "off-peak" else ""
        return f"{windows} UTC{days}{beijing}{but}"


@functools.cache
def deepseek_hours() -> tuple[tuple[int, PeakHours], ...]:
    """DeepSeek's peak hours, each with the instant (nanoseconds since the epoch) from which they hold, in order."""
    found = []
    for row in read_rows(TABLE):
        hours = replace(
            peak_hours(f"{row['windows']} {row['days']}"),
            offset=round(BEIJING.total_seconds() / 60),
            holidays=row["holidays"],
        )
        found.append((instant_ns(row["effective"]), hours))
    return tuple(found)


def peak_hours(text: str) -> PeakHours:
    """'16:30-00:30' or '01:00-04:00,06:00-10:00 Mon-Fri', in UTC. Raises UserError on anything else."""
    match = re.fullmatch(r"\s*([\d:,\s-]+?)\s*(?:UTC)?\s*([A-Za-z]{3}(?:-[A-Za-z]{3})?)?\s*", text)
    try:
        if match is None:
            raise ValueError
        windows = []
        for part in match[1].split(","):
            start, end = (minutes(one) for one in part.strip().split("-"))
            if (start, end) != (0, DAY_MINUTES) and (end - start) % DAY_MINUTES == 0:
                raise UserError(
                    f"the peak hours {part.strip()} end when they begin; write 00:00-24:00 for the whole day."
                )
            windows.append((start, end))
        days = tuple(range(7))
        if match[2]:
            first, _, last = match[2].title().partition("-")
            begin = DAY_NAMES.index(first)
            length = (DAY_NAMES.index(last or first) - begin) % 7 + 1
            days = tuple(sorted((begin + offset) % 7 for offset in range(length)))
    except ValueError:
        raise UserError(
            f"{text!r} are no peak hours; write UTC windows and days such as '01:00-04:00,06:00-10:00 Mon-Fri'."
        ) from None
    return PeakHours(tuple(windows), days)


def minutes(text: str) -> int:
    """'16:30' -> 990. Raises ValueError."""
    match = re.fullmatch(r"([01]\d|2[0-4]):([0-5]\d)", text.strip())
    if match is None or text.strip() > "24:00":
        raise ValueError
    return int(match[1]) * 60 + int(match[2])


def clock(minute: int) -> str:
    """990 -> '16:30'."""
    return f"{minute // 60:02d}:{minute % 60:02d}"
