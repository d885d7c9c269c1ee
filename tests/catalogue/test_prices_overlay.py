"""A user's own prices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from centime.catalogue.prices import price_for
from centime.errors import UserError
from centime.ledger.device import Device

CPU = Device("AMD EPYC", "cpu", 1, 8, None, "", None)
H100 = Device("NVIDIA H100 80GB HBM3", "gpu", 1, 0, None, "", None)
OVERLAY = """
[[price]]
device = "H100 SXM 80GB"
per_hour = 1.75
currency = "EUR"
date = "2026-10-01"
source = "our contract"

[[price]]
device = "epyc"
per_hour = 0.10
vcpus = 4
currency = "USD"
date = "2026-11"
"""


def test_the_overlay_wins_over_the_catalogue(centime_home: Path) -> None:
    (centime_home / "prices.toml").write_text(OVERLAY)
    gpu, cpu = price_for(H100), price_for(CPU)
    assert gpu is not None
    assert (gpu.per_device_hour, gpu.currency, gpu.kind, gpu.source) == (1.75, "EUR", "overlay", "our contract")
    assert cpu is not None
    assert (cpu.per_device_hour, cpu.date) == (pytest.approx(0.2), "2026-11")  # two times 4 vCPUs
    assert cpu.source == str(centime_home / "prices.toml")
    other = price_for(replace(H100, name="NVIDIA L4"))
    assert other is not None
    assert other.kind == "catalogue"


def test_a_table_does_as_well(centime_home: Path) -> None:
    (centime_home / "prices.csv").write_text("device,per_hour,currency,date\nL4,0.3,USD,2026-11-01\n")
    price = price_for(replace(H100, name="NVIDIA L4"))
    assert price is not None
    assert (price.per_device_hour, price.kind) == (0.3, "overlay")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[price]]\ndevise = "x"', r"price 1: unknown key 'devise'\. Did you mean 'device'\?"),
        ('[[price]]\ndevice = "x"\nper_hour = 1\ncurrency = "USD"', "price 1: 'date' is missing"),
        ('[[price]]\ndevice = "x"\nper_hour = "much"\ncurrency = "USD"\ndate = "2026"', "per_hour is a number"),
        ('[[price]]\ndevice = "x"\nper_hour = -1\ncurrency = "USD"\ndate = "2026"', "at least 0"),
        ('[[price]]\ndevice = "x"\nper_hour = nan\ncurrency = "USD"\ndate = "2026"', "at least 0"),
        ('[[price]]\ndevice = "x"\nper_hour = 1\ncurrency = "USD"\ndate = "June"', "date YYYY-MM-DD"),
        ('[[price]]\ndevice = "x"\nper_hour = 1\nvcpus = 0\ncurrency = "USD"\ndate = "2026"', "vcpus at least 1"),
        ('[[price]]\ndevice = "x"\nper_hour = 1\ncurrency = "$"\ndate = "2026"', "'\\$' is no code of three capitals"),
        ("[prices]\nh100 = 2", r"has a table 'prices'; each price is a \[\[price\]\] table"),
        ("price = 2", r"each price is a \[\[price\]\] table"),
        ("[[price", "is not TOML"),
        ("price = [1]", r"each price is a \[\[price\]\] table"),
        (f"[[price]]\nper_hour = {'9' * 5000}", "is not TOML: a whole number in it has thousands of digits"),
        (f"a = {'[' * 5000}{']' * 5000}", "nested too deeply"),
        ("\0", "holds zero bytes"),
        ('[[price]]\ndevice = "x"\nper_hour = inf\ncurrency = "USD"\ndate = "2026"', "at least 0"),
    ],
)
def test_a_mistake_in_it_is_a_sentence_that_names_the_place(text: str, sentence: str, centime_home: Path) -> None:
    (centime_home / "prices.toml").write_text(text)
    with pytest.raises(UserError, match=sentence) as error:
        price_for(H100)
    assert str(centime_home / "prices.toml") in str(error.value)
