"""Exchange rates: dated, named, by way of the euro, the user's own first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.catalogue.currencies.exchange import converted, exchange_rate, in_currency, overlay_path
from centime.catalogue.hourly_prices import gpu_hour
from centime.errors import UserError
from centime.messages import Amount

CODES = st.sampled_from(("EUR", "USD", "CNY"))


@given(CODES, CODES, CODES)
def test_there_and_back_is_where_it_began_and_a_way_round_the_same(a: str, b: str, c: str) -> None:
    assert exchange_rate(a, b).value * exchange_rate(b, a).value == pytest.approx(1)
    assert exchange_rate(a, b).value * exchange_rate(b, c).value == pytest.approx(exchange_rate(a, c).value)


def test_the_rate_is_the_central_banks_of_its_day() -> None:
    rate = exchange_rate("EUR", "USD")
    assert (rate.value, rate.date) == (1.146, "2026-09-18")
    assert "European Central Bank" in rate.sentence()


def test_a_price_in_another_currency_names_its_rate() -> None:
    dollars = gpu_hour(chip("h800"))
    euros = in_currency(dollars, "EUR")
    assert euros.per_device_hour == pytest.approx(2 / 1.146)
    assert "1 USD = 0.8726 EUR" in euros.sentence()
    assert in_currency(dollars, "USD") == in_currency(dollars, None) == dollars


def test_ones_own_rates_come_first() -> None:
    overlay_path().write_text(
        "currency,per_eur,date,source\nUSD,1.25,2026-11-30,our bank\nGBP,0.86,2026-11-30,our bank\n"
    )
    assert converted(Amount(100, "EUR"), "USD") == Amount(125, "USD")
    assert exchange_rate("GBP", "USD").value == pytest.approx(1.25 / 0.86)
    assert exchange_rate("EUR", "CNY").date == "2026-09-18"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("USD,0,2026-11-30,x", "per_eur is '0'"),
        ("USD,nan,2026-11-30,x", "per_eur is 'nan'"),
        ("USD,much,2026-11-30,x", "per_eur is 'much'"),
        ("USD,1.1,soon,x", "'soon' is not a date"),
        ("USD,1.1,2026-11-30,", "'source' is missing"),
    ],
)
def test_a_wrong_rate_is_named(rows: str, says: str) -> None:
    overlay_path().write_text(f"currency,per_eur,date,source\n{rows}\n")
    with pytest.raises(UserError, match=says):
        exchange_rate("USD", "EUR")


def test_a_currency_without_a_rate_says_where_to_add_one() -> None:
    with pytest.raises(UserError, match=r"'GBP'.*CNY, EUR, USD.*currencies\.csv"):
        exchange_rate("USD", "GBP")
