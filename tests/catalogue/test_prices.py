"""Prices: dated, sourced, never invented."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace

import pytest

from centime.catalogue.chips import chips
from centime.catalogue.prices import STALE_DAYS, Price, ask_for_price, catalogue_rows, first_day, price_for, price_given
from centime.errors import UserError
from centime.ledger.device import Device

CPU = Device("AMD EPYC", "cpu", 1, 2, None, "", None)
H100 = Device("NVIDIA H100 80GB HBM3", "gpu", 1, 0, None, "", None)


def test_every_figure_has_a_date_and_a_source() -> None:
    rows = catalogue_rows()
    assert len(rows) > 50
    for row in rows:
        assert row.per_hour > 0
        assert row.source
        assert row.provider
        assert re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?", row.date)
        assert first_day(row.date).year >= 2024
        assert row.currency == "USD"
        assert row.confidence in {"primary", "secondary"}
    assert len({row.id for row in rows}) == len(rows)


def test_a_machine_that_is_not_known_to_be_the_instance_is_priced_as_it_and_says_so() -> None:
    price = price_for(replace(CPU, vcpus=6))
    assert price is not None
    assert price.per_device_hour == pytest.approx(6 * 0.0408)
    assert (price.kind, price.currency, price.date) == ("assumed", "USD", "2026-06")
    assert price.note.startswith("priced as 6 vCPUs of AWS us-east-1 on-demand, 2 vCPU general purpose (m7g.large")
    assert "$0.0408 per vCPU-hour" in price.note
    assert price.source.startswith("P0286: ")


def test_the_instance_itself_is_no_assumption() -> None:
    price = price_for(replace(CPU, instance="m7g.large"))
    assert price is not None
    assert (price.kind, price.per_device_hour) == ("catalogue", pytest.approx(0.0816))


def test_a_gpu_takes_the_newest_published_median() -> None:
    price = price_for(H100)
    assert price is not None
    assert (price.per_device_hour, price.date, price.kind) == (2.95, "2026-05-20", "catalogue")
    assert price.source.startswith("P0278: ")


def test_a_gpu_without_a_median_takes_a_price_that_somebody_asks() -> None:
    price = price_for(replace(H100, name="NVIDIA B200"))
    assert price is not None
    offers = [row.per_hour for row in catalogue_rows() if row.device == "B200 SXM 180GB"]
    assert price.per_device_hour in offers
    assert min(offers) < price.per_device_hour < max(offers)


@pytest.mark.parametrize(
    ("name", "item"),
    [("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"), ("NVIDIA RTX A6000", "A6000"), ("NVIDIA L40", "L40")],
)
def test_a_gpu_that_is_priced_though_it_is_no_chip_of_the_catalogue(name: str, item: str) -> None:
    price = price_for(replace(H100, name=name))
    assert price is not None
    assert price.note.startswith(item)


@pytest.mark.parametrize("name", ["NVIDIA GeForce GTX 1080", "NVIDIA H800", "Some TPU"])
def test_nobody_knows_so_there_is_no_price(name: str) -> None:
    unknown = replace(H100, name=name)
    assert price_for(unknown) is None
    sentence = ask_for_price(unknown)
    assert name in sentence
    assert "--price '$2/h'" in sentence


def test_a_price_given_on_the_command_line_wins() -> None:
    price = price_for(H100, "3.5 EUR/h", today=datetime.date(2026, 7, 1))
    assert price == Price(3.5, "EUR", "2026-07-01", "the command line", "given")
    assert price_for(replace(H100, name="unheard of"), "$2") is not None
    with pytest.raises(UserError, match="not a price of an hour"):
        price_for(H100, "two dollars")


def test_a_figure_older_than_180_days_is_flagged() -> None:
    price = Price(2.0, "USD", "2026-06-01", "", "catalogue")
    assert not price.stale(datetime.date(2026, 6, 1) + datetime.timedelta(STALE_DAYS))
    assert price.stale(datetime.date(2026, 6, 1) + datetime.timedelta(STALE_DAYS + 1))
    assert (
        replace(price, date="2026-06").age_days(datetime.date(2026, 6, 30)) == 29
    )  # a month counts from its first day
    assert replace(price, date="2026").age_days(datetime.date(2026, 1, 31)) == 30
    assert "days old" in str(replace(price, date="2020-01-01"))
    assert "$2.00 per device-hour" in str(price)


def test_recalled_figures_are_not_shipped() -> None:
    by_name = {chip.name: chip for chip in chips()}
    assert by_name["RTX 5090"].bf16_tflops is None  # its row was written from memory
    assert by_name["GH200 96GB"].tdp_watts is None
    assert by_name["H100 SXM 80GB"].bf16_tflops == 989
    assert by_name["H100 SXM 80GB"].tdp_watts == 700


def test_a_bare_number_is_told_how_to_become_a_price() -> None:
    with pytest.raises(UserError, match=re.escape("'$2/h' or '2 EUR/h'")):
        price_given("2")
    with pytest.raises(UserError, match="not a price of an hour"):
        price_given("cheap")
