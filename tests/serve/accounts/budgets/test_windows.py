"""Which day or month an instant falls into, in a time zone."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.errors import UserError
from centime.serve.accounts.budgets.windows import begin_ns, end_ns, window_named, zone_named

ZONES = ("UTC", "Europe/Paris", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "Africa/Cairo")


def ns(text: str) -> int:
    """Nanoseconds of an ISO instant."""
    return int(datetime.datetime.fromisoformat(text).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("per", "zone", "at", "begin", "end"),
    [
        ("day", "UTC", "2026-11-05T23:59:59Z", "2026-11-05T00:00Z", "2026-11-06T00:00Z"),
        ("month", "UTC", "2026-12-31T12:00Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("month", "Europe/Paris", "2026-10-31T23:30Z", "2026-10-31T23:00Z", "2026-11-30T23:00Z"),
        ("day", "Europe/Paris", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),  # 23 hours
        ("day", "America/New_York", "2026-11-01T12:00Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),  # 25 hours
    ],
)
def test_windows_begin_and_end_at_the_zones_midnights(per: str, zone: str, at: str, begin: str, end: str) -> None:
    window = window_named(per)
    assert begin_ns(window, zone, ns(at)) == ns(begin)
    assert end_ns(window, zone, ns(at)) == ns(end)


@given(at=st.integers(ns("1990-01-01T00:00Z"), ns("2100-01-01T00:00Z")), zone=st.sampled_from(ZONES))
def test_windows_follow_one_another_without_gap_or_overlap(at: int, zone: str) -> None:
    for per in ("day", "month"):
        window = window_named(per)
        begin, end = begin_ns(window, zone, at), end_ns(window, zone, at)
        assert end is not None
        assert begin <= at < end
        assert begin_ns(window, zone, begin) == begin
        assert begin_ns(window, zone, end) == end
        assert begin_ns(window, zone, end - 1) == begin
        local = datetime.datetime.fromtimestamp(begin // 10**9, ZoneInfo(zone))
        assert per == "day" or local.day == 1


def test_ever_has_no_end() -> None:
    assert (begin_ns("ever", "UTC", 5), end_ns("ever", "UTC", 5)) == (0, None)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b"])
def test_a_zone_that_is_none_gets_a_sentence(zone: str) -> None:
    with pytest.raises(UserError, match="is no time zone"):
        zone_named(zone)


def test_a_window_that_is_none_gets_a_sentence() -> None:
    with pytest.raises(UserError, match="give day, month or ever"):
        window_named("week")
