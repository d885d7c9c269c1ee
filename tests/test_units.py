"""Quantities as people read and write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime import units
from centime.errors import UserError
from centime.units import format_energy

WRITTEN: dict[Callable[[float], str], dict[float, str]] = {
    units.format_count: {
        0: "0", 0.3299: "0.33", 999: "999", 999.4: "999", 999.5: "1.00 K", 1000: "1.00 K", 999_499: "999 K",
        999_500: "1.00 M", -999_500: "-1.00 M",
        2e6: "2.00 M", -62.9e9: "-62.9 B", 14.8e12: "14.8 T", 1.02e15: "1.02 P", 123e15: "123 P",
        5e18: "5000 P",
    },
    units.format_flops: {
        249.7e9: "249.7 GFLOP", 1000: "1.000 KFLOP", 999.7: "999.7 FLOP",
        999.7e9: "999.7 GFLOP", 999.95e9: "1.000 TFLOP", 3.5e12: "3.500 TFLOP",
    },
    units.format_watts: {2.15e9: "2.15 GW", 700: "700 W", 1500: "1.50 kW"},
    units.money_digits: {
        0: "0.00", 0.00512: "0.00512", 0.9949: "0.995", 0.995: "0.99", 0.1: "0.100", 1234.5: "1,234.50", -2: "-2.00",
        1e-13: "0.000000000000",
    },
    units.format_duration: {
        0: "0.0s", 59.94: "59.9s", 59.95: "1m 00s", 65: "1m 05s", 3599: "59m 59s", 3600: "1h 00m", 3725: "1h 02m",
        86_399: "23h 59m", 86_400: "1d 00h", 2 * 86_400 + 7 * 3600: "2d 07h",
    },
    units.format_device_time: {
        0: "0.0s", 0.0093: "9.3ms", 0.9994: "999ms", 0.9995: "1.0s", 65: "1m 05s", 3599: "59m 59s", 3599.5: "0.9999 h",
        9000: "2.5 h", 3600 * 999.94: "999.9 h", 3600 * 999.95: "1,000.0 h", 3600 * 2788e3: "2,788,000.0 h",
    },
    units.format_number: {
        0: "0", 0.00258: "0.00258", 420: "420", 1.5: "1.5", 12.34: "12.3", 2000: "2000", -0.25: "-0.25",
    },
    units.format_energy: {
        0: "0 Wh", 3e-8: "0.03 mWh", 9.99e-7: "0.999 mWh", 1e-6: "0.001 Wh", 4.2e-6: "0.0042 Wh", 0.0042: "4.2 Wh",
        1: "1 kWh", 12.3456: "12.3 kWh", 999.4: "999 kWh", 999.5: "1,000 kWh", 12345.6: "12,346 kWh",
    },
    units.format_bytes: {
        0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 3 * 2**19: "1.50 MiB", 2**30 - 1: "1024.00 MiB", 2**30: "1.00 GiB",
        1_610_612_736: "1.50 GiB", -(2**41): "-2.00 TiB", 2**51: "2048.00 TiB",
    },
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN, ids=lambda one: one.__name__)
def test_a_quantity_is_written_with_its_digits_and_unit(written: Callable[[float], str]) -> None:
    assert {value: written(value) for value in WRITTEN[written]} == WRITTEN[written]


READ: dict[Callable[[str], object], dict[str, object]] = {
    units.parse_count: {
        "14.8T": 14.8e12, "2_048": 2048.0, "1,000k": 1e6, " .5 m ": 5e5, "3b": 3e9, "3G": 3e9, "2P": 2e15, "1e-3": 1e-3,
    },
    units.parse_duration: {"10m": 600.0, "90s": 90.0, "2min": 120.0, ".5h": 1800.0, "3d": 259_200.0},
    units.parse_money: {
        "$0.05": (0.05, "USD"), "0.05 EUR": (0.05, "EUR"), "80 Md$": (8e10, "USD"), "80 milliards $": (8e10, "USD"),
        "15k£": (15e3, "GBP"), "3 millions d'EUR": (3e6, "EUR"), "¥7": (7.0, "CNY"), "2m€": (2e6, "EUR"),
    },
    units.parse_price_per_hour: {
        "$2/h": (2.0, "USD"), "2 EUR / hour": (2.0, "EUR"), "€3": (3.0, "EUR"), "2 EUR/hr": (2.0, "EUR"),
    },
}  # fmt: skip


@pytest.mark.parametrize("read", READ, ids=lambda one: one.__name__)
def test_a_quantity_is_read_as_people_write_it(read: Callable[[str], object]) -> None:
    assert {text: read(text) for text in READ[read]} == READ[read]


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (units.parse_count, "twelve", "'twelve' is not a quantity; write a number"),
        (units.parse_count, "9e999", "'9e999' is not a quantity that can be held"),
        (units.parse_duration, "10", "'10' is not a duration"),
        (units.parse_duration, "9" * 309 + "d", "larger than any number"),
        (units.parse_money, "0.05", "'0.05' is not an amount of money"),
        (units.parse_money, "$twelve", r"'\$twelve' is not an amount of money"),
        (units.parse_price_per_hour, "2/h", r"write it as '\$2/h' or '2 EUR/h'"),
        (units.parse_price_per_hour, "3", r"write it as '\$3/h' or '3 EUR/h'"),
        (units.parse_price_per_hour, "dear", r"write it as '\$2/h' or '2 EUR/h'"),
    ],
)
def test_what_is_no_quantity_is_refused(read: Callable[[str], object], text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(text)


@given(st.floats(1e-15, 1e12))
def test_energy_is_what_is_written(kwh: float) -> None:
    number, unit = format_energy(kwh).replace(",", "").split()
    assert float(number) * {"mWh": 1e-6, "Wh": 1e-3, "kWh": 1.0}[unit] == pytest.approx(kwh, rel=0.006)
    assert "e" not in number


def test_plurals_and_symbols() -> None:
    assert [units.plural(n, "shard") for n in (0, 1, 1234)] == ["0 shards", "1 shard", "1,234 shards"]
    assert [units.plural(n, "query", "queries") for n in (1, 2)] == ["1 query", "2 queries"]
    assert [units.currency_symbol(code) for code in ("USD", "EUR", "CHF")] == ["$", "€", ""]
    assert [units.format_money(0.0051, code) for code in ("USD", "CHF")] == ["$0.00510", "0.00510 CHF"]
