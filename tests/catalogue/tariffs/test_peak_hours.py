"""The peak of DeepSeek's lists: by Beijing's calendar, holidays as the list said at the time, and what it left open."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.tariffs import PeakHours, instant_ns, peak_hours
from centime.catalogue.tariffs.peak_hours import deepseek_hours

EVERY_DAY, WEEKDAYS, WITH_HOLIDAYS = (hours for _, hours in deepseek_hours())


def test_when_each_rule_began() -> None:
    assert [since for since, _ in deepseek_hours()] == [
        instant_ns("2026-08-17T00:00+08:00"),
        instant_ns("2026-08-23T00:00+08:00"),
        instant_ns("2026-09-21T00:00+08:00"),
    ]


def test_a_week_has_thirty_five_hours_of_peak_and_had_forty_nine() -> None:
    monday = instant_ns("2026-11-02T00:00+08:00")
    minutes = [monday + minute * 60 * 10**9 for minute in range(7 * 24 * 60)]
    for hours, expected in ((EVERY_DAY, 49), (WEEKDAYS, 35), (WITH_HOLIDAYS, 35)):
        assert sum(map(hours.contain, minutes)) == expected * 60


@pytest.mark.parametrize(
    "text", ["16:30-00:30", "22:00-02:00 Fri-Sat", "23:00-01:15 Sun", "01:00-04:00,03:00-05:20 Mon-Fri", "00:00-24:00"]
)
@pytest.mark.parametrize("offset", [0, 480])
def test_the_share_of_a_week_is_that_of_its_minutes(text: str, offset: int) -> None:
    hours = replace(peak_hours(text), offset=offset)
    monday = instant_ns("2026-11-02T00:00Z")
    minutes = [hours.contain(monday + minute * 60 * 10**9) for minute in range(7 * 24 * 60)]
    assert hours.share == sum(minutes) / len(minutes)


def test_the_week_of_national_day_has_none() -> None:
    """Monday to Wednesday before it, then nothing until Thursday the 8th."""
    first = instant_ns("2026-09-28T00:30+08:00")
    peaks = {
        (datetime.datetime(2026, 9, 28) + datetime.timedelta(hours=hour)).date()
        for hour in range(14 * 24)
        if WITH_HOLIDAYS.contain(first + hour * 3600 * 10**9)
    }
    assert sorted(day.isoformat()[5:] for day in peaks) == ["09-28", "09-29", "09-30", "10-08", "10-09"]


def test_the_day_is_beijings_where_a_window_lies_between_the_calendars() -> None:
    """DeepSeek's own windows lie where both calendars have the same day; these do not."""
    late = replace(peak_hours("17:00-18:00 Mon-Fri"), offset=480)
    assert not late.contain(instant_ns("2026-11-27T17:30Z"))  # Friday by UTC, Saturday 01:30 in Beijing
    assert late.contain(instant_ns("2026-11-29T17:30Z"))  # Sunday by UTC, Monday in Beijing


@pytest.mark.parametrize(
    ("hours", "instant", "doubt"),
    [
        (EVERY_DAY, "2026-09-25T02:00Z", "of which the list said nothing then"),
        (WEEKDAYS, "2026-09-25T02:00Z", "of which the list said nothing then"),
        (WITH_HOLIDAYS, "2026-09-25T02:00Z", ""),
        (EVERY_DAY, "2026-09-20T02:00Z", ""),  # a Sunday like any other day then
        (WEEKDAYS, "2026-09-20T02:00Z", "worked in China"),
        (WITH_HOLIDAYS, "2026-10-10T02:00Z", "worked in China"),
        (WITH_HOLIDAYS, "2026-10-10T05:00Z", ""),  # off-peak by the hour
        (WITH_HOLIDAYS, "2026-10-17T02:00Z", ""),  # a Saturday like others
        (WITH_HOLIDAYS, "2027-01-01T02:00Z", ""),  # New Year, by statute
        (WITH_HOLIDAYS, "2027-02-11T02:00Z", "holidays of 2027 are not decreed"),
        (WITH_HOLIDAYS, "2027-02-13T02:00Z", ""),  # a Saturday
        (peak_hours("01:00-04:00"), "2026-09-25T02:00Z", ""),
    ],
)
def test_what_the_list_does_not_say_is_said(hours: PeakHours, instant: str, doubt: str) -> None:
    found = hours.doubt(instant_ns(instant))
    assert doubt in found
    assert bool(found) == bool(doubt)


@given(st.datetimes(datetime.datetime(2026, 9, 21), datetime.datetime(2027, 12, 31)))
def test_in_doubt_or_not_only_the_windows_have_the_peak(moment: datetime.datetime) -> None:
    wall_ns = instant_ns(moment.isoformat() + "+00:00")
    inside = 1 <= moment.hour < 4 or 6 <= moment.hour < 10
    assert not WITH_HOLIDAYS.contain(wall_ns) or (inside and moment.weekday() < 5)
    assert inside or not WITH_HOLIDAYS.doubt(wall_ns)
