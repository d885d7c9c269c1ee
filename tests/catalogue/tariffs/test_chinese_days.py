"""China's holidays: the table against the package `holidays`, which somebody else compiles."""

from __future__ import annotations

import datetime
import subprocess
import sys

import pytest

from centime.catalogue.tariffs.chinese_days import TABLE, decreed, kind_of
from centime.csv_files import read_rows

YEAR = [datetime.date(2026, 1, 1) + datetime.timedelta(days=day) for day in range(365)]


def test_a_decreed_year_as_others_have_it() -> None:
    """Days of a weekend inside a holiday are the table's alone: the package lists days that would be worked."""
    china = pytest.importorskip("holidays").country_holidays("CN", years=2026)
    assert {day for day in YEAR if kind_of(day) == "holiday" and day.weekday() < 5} == {
        day for day in china if day.weekday() < 5
    }
    assert {day for day in YEAR if kind_of(day) == "working weekend"} == {
        day for day in china.weekend_workdays if day.year == 2026
    }


def test_the_statute_of_a_year_to_come_as_others_have_it() -> None:
    china = pytest.importorskip("holidays").country_holidays("CN", years=2027, observed=False)
    ours = {row["first"]: row["last"] for row in read_rows(TABLE) if row["first"].startswith("2027")}
    assert len(ours) == 7
    days = {str(day) for day in china}
    assert {day for day in days if not any(first <= day <= last for first, last in ours.items())} == set()
    assert {*ours, *ours.values()} <= days


def test_a_decreed_year_does_without_the_package() -> None:
    asks = "import sys, datetime; from centime.catalogue.tariffs.chinese_days import kind_of; "
    asks += "print(kind_of(datetime.date(2026, 11, 30)) == '', 'holidays' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_days_like_others() -> None:
    assert decreed(2026)
    assert kind_of(datetime.date(2026, 10, 1)) == "holiday"
    assert [kind_of(datetime.date(2026, 10, day)) for day in (8, 10, 17)] == ["", "working weekend", ""]


def test_a_year_that_the_table_lacks_is_the_packages() -> None:
    pytest.importorskip("holidays")
    assert decreed(2025)
    assert kind_of(datetime.date(2025, 10, 8)) == "holiday"
    assert kind_of(datetime.date(2025, 9, 28)) == "working weekend"
