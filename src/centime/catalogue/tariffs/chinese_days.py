"""China's public holidays, and the days of a weekend that are worked to make up for them.

The State Council decrees them a year at a time, some weeks before it begins. The table has what is decreed, and of the
year after it the days of the statute; what it lacks the package `holidays` is asked, where it is installed.
"""

from __future__ import annotations

import datetime
import functools
from pathlib import Path
from typing import Literal

from centime.csv_files import read_rows

TABLE = Path(__file__).parent / "chinese_days.csv"
BEIJING = datetime.timedelta(hours=8)  # of UTC; no summer time since 1991

Kind = Literal["", "holiday", "working weekend"]


@functools.cache
def _table_of(year: int) -> dict[datetime.date, Kind]:
    found: dict[datetime.date, Kind] = {}
    for row in read_rows(TABLE):
        day, last = datetime.date.fromisoformat(row["first"]), datetime.date.fromisoformat(row["last"])
        while day <= last:
            found[day] = row["kind"]
            day += datetime.timedelta(days=1)
    return {day: kind for day, kind in found.items() if day.year == year}


@functools.cache
def _packaged(year: int) -> dict[datetime.date, Kind]:
    """A year as the package `holidays` has it; empty without the package."""
    try:
        from holidays import country_holidays
    except ImportError:
        return {}
    found = country_holidays("CN", years=year)
    worked = {day for day in getattr(found, "weekend_workdays", ()) if day.year == year}
    return {**dict.fromkeys(found, "holiday"), **dict.fromkeys(worked, "working weekend")}


def decreed(year: int) -> bool:
    """Whether the days of a year are known as decreed: every decree names days that are worked."""
    return any("working weekend" in days.values() for days in (_table_of(year), _packaged(year)))


def kind_of(day: datetime.date) -> Kind:
    """What a day of Beijing's calendar is besides a day of the week; '' where it is nothing more, or not known."""
    own = _table_of(day.year)
    if day in own or "working weekend" in own.values():
        return own.get(day, "")
    return _packaged(day.year).get(day, "")
