"""Price lists in integers: what people name, what it costs at which hour, what is refused."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.api_prices import price_lists
from centime.catalogue.tariffs import Tariff, TokenPrices, peak_hours, tariff_for
from centime.errors import UserError


def at(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("moment", "hours"),
    [
        ("2026-11-23T00:59:59", "off-peak"),  # a Monday
        ("2026-11-23T01:00:00", "peak"),
        ("2026-11-23T03:59:59", "peak"),
        ("2026-11-23T04:00:00", "off-peak"),
        ("2026-11-27T06:00:00", "peak"),  # a Friday
        ("2026-11-27T10:00:00", "off-peak"),
        ("2026-11-28T07:00:00", "off-peak"),  # a Saturday
    ],
)
def test_deepseeks_peak_hours(moment: str, hours: str) -> None:
    tariff = tariff_for("deepseek-v4.1-flash")
    amounts, found = tariff.at(at(moment))
    assert found == hours
    per_token = {"peak": TokenPrices(6_000, 300_000, 1_200_000), "off-peak": TokenPrices(3_000, 150_000, 600_000)}
    assert amounts == per_token[hours]


def test_the_night_discount_of_2025_passed_midnight() -> None:
    r1 = tariff_for("deepseek-r1")
    assert r1.at(at("2025-03-01T16:29:00"))[1] == "peak"
    assert r1.at(at("2025-03-01T16:30:00"))[1] == "off-peak"
    assert r1.at(at("2025-03-02T00:29:00"))[1] == "off-peak"
    assert r1.at(at("2025-03-02T00:30:00"))[0] == TokenPrices(140_000, 550_000, 2_190_000)
    assert tariff_for("deepseek-r1", date="2025-02-01").off_peak is None  # before there was one
    assert tariff_for("D003").off_peak is None  # one list by its id


def test_a_window_belongs_to_the_day_it_begins_on() -> None:
    hours = peak_hours("22:00-02:00 Fri-Sat")
    assert str(hours) == "22:00-02:00 UTC Fri,Sat"
    assert [hours.contain(at(f"2026-11-{day}T01:00")) for day in (27, 28, 29, 30)] == [False, True, True, False]
    assert [hours.contain(at(f"2026-11-{day}T23:00")) for day in (26, 27, 28, 29)] == [False, True, True, False]


def test_amounts_given_by_hand() -> None:
    assert tariff_for("0.14, 0.55, $2.19").peak == TokenPrices(140_000, 550_000, 2_190_000)
    both = tariff_for("0.006,0.30,1.20/0.003,0.15,0.60 CNY", hours="09:00-18:00")
    assert (both.currency, both.off_peak, str(both.hours)) == (
        "CNY",
        TokenPrices(3_000, 150_000, 600_000),
        "09:00-18:00 UTC",
    )
    assert tariff_for("0.003625,0.435,0.87").peak.hit == 3_625  # DeepSeek's finest price, exact


def test_every_list_of_the_catalogue_is_whole_pico_dollars() -> None:
    for row in price_lists():
        found = tariff_for(row.id).peak
        for amount, price in zip((found.hit, found.miss, found.output), (row.hit, row.miss, row.output), strict=True):
            assert Decimal(amount) == Decimal(repr(price)) * 10**6


@given(
    st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    st.none() | st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    st.sampled_from(["01:00-04:00,06:00-10:00 Mon-Fri", "16:30-00:30", "00:00-24:00 Sun"]),
)
def test_what_is_written_is_read_again(peak: list[int], off_peak: list[int] | None, hours: str) -> None:
    tariff = Tariff("a", "USD", TokenPrices(*peak), TokenPrices(*off_peak) if off_peak else None, peak_hours(hours))
    assert Tariff.from_text(tariff.as_text()) == tariff


@pytest.mark.parametrize(
    "name", ["deepseek-v4-flash", "deepseek-v4-pro", "deepseek-flash", "deepseek-r1", "1,2,3/1,1,1"]
)
def test_lists_with_their_instants_are_written_and_read_again(name: str) -> None:
    tariff = tariff_for(name)
    assert Tariff.from_text(tariff.as_text()) == tariff


OLD = """{"name": "deepseek-v4-pro (2026-08-16)", "currency": "USD", "peak": {"hit": 44000, "miss": 1320000, "output":
3960000}, "off_peak": {"hit": 22000, "miss": 660000, "output": 1980000}, "hours": {"windows": [[60, 240], [360, 600]],
"days": [0, 1, 2, 3, 4]}}"""


@pytest.mark.parametrize(
    ("moment", "hours"),
    [
        ("2026-10-01T02:00", "peak"),  # National Day, of which the book knew nothing
        ("2026-08-15T02:00", "off-peak"),  # a Saturday
        ("2026-07-01T02:00", "peak"),  # before the list: it was charged from the key's first day on
        ("2026-11-30T12:00", "off-peak"),
    ],
)
def test_what_an_earlier_version_stored_charges_what_it_charged(moment: str, hours: str) -> None:
    old = Tariff.from_text(OLD)
    assert old.asked(at(moment)) == (
        {"peak": old.peak, "off-peak": old.off_peak}[hours],
        hours,
        "deepseek-v4-pro (2026-08-16)",
        "",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2", "2 amounts"),
        ("1,2,3/1", "1 amounts"),
        ("a,b,c", "the price of a hit per million tokens is 'a'"),
        ("-1,2,3", "at least 0"),
        ("nan,1,1", "at least 0"),
        ("0.0000001,1,1", "at most 6 decimals"),
        ("1,2,3/4,5,6/7,8,9", "no price list"),
        ("deepseek-v9", "no price list of the catalogue"),
    ],
)
def test_what_is_no_price_list_gets_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        tariff_for(text)


@pytest.mark.parametrize("hours", ["25:00-26:00", "noon", "01:00", "01:00-02:00 Foo", "24:30-25:00", ""])
def test_what_are_no_hours_gets_a_sentence(hours: str) -> None:
    with pytest.raises(UserError, match="no peak hours"):
        tariff_for("1,2,3/1,2,3", hours=hours)


def test_the_whole_day_is_a_window_and_none_of_it_is_not() -> None:
    whole = peak_hours("00:00-24:00 Sun")
    assert [whole.contain(at(f"2026-11-29T{clock}")) for clock in ("00:00", "23:59:59")] == [True, True]
    assert not whole.contain(at("2026-11-30T00:00"))
    for nothing in ("00:00-00:00", "05:00-05:00", "24:00-24:00"):
        with pytest.raises(UserError, match="end when they begin"):
            peak_hours(nothing)
    assert str(peak_hours("23:00-01:00")) == "23:00-01:00 UTC"


def test_peak_hours_of_one_price_mean_nothing() -> None:
    with pytest.raises(UserError, match="one price for all hours"):
        tariff_for("1,2,3", hours="01:00-02:00")
