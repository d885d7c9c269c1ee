"""The price of an hour of any chip at any date, and price lists of APIs."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from centime.catalogue.api_prices import price_list, price_lists
from centime.catalogue.chips import chip
from centime.catalogue.hourly_prices import gpu_hour, how_old, rent_range
from centime.catalogue.prices import overlay_path
from centime.errors import UserError


def test_the_price_that_was_in_force() -> None:
    assert gpu_hour(chip("h100"), "2024-12").per_device_hour == 2.99
    assert gpu_hour(chip("h100"), "2023-06").per_device_hour == 8.0
    assert gpu_hour(chip("h100"), "2019").per_device_hour == 8.0  # the first that is known
    assert gpu_hour(chip("h100")).per_device_hour == 2.95


def test_h800s_price_is_the_reports() -> None:
    price = gpu_hour(chip("h800"))
    assert (price.per_device_hour, price.currency, price.kind) == (2.0, "USD", "catalogue")
    assert "2412.19437" in price.source


def test_a_price_given_or_ones_own_comes_first() -> None:
    assert gpu_hour(chip("h800"), given="$1.5/h").kind == "given"
    overlay_path().write_text(
        '[[price]]\ndevice = "H800"\nper_hour = 1.25\ncurrency = "EUR"\ndate = "2026-10-01"\nsource = "our contract"\n'
    )
    assert (gpu_hour(chip("h800")).per_device_hour, gpu_hour(chip("h800")).kind) == (1.25, "overlay")


def test_what_is_assumed_says_so() -> None:
    for name, words in (
        ("H20", "ratio of rent to purchase"),
        ("GB300", "3-year rental"),
        ("A800", "taken for the A100"),
    ):
        price = gpu_hour(chip(name))
        assert price.kind == "assumed"
        assert words in price.note
        assert price.per_device_hour > 0


def test_nobody_knows() -> None:
    with pytest.raises(UserError, match="No price of an hour is known for Ascend 910C; give one with --price"):
        gpu_hour(chip("910C"))
    with pytest.raises(UserError, match="'then' is not a date"):
        gpu_hour(chip("h100"), "then")


def test_the_spread_of_offers() -> None:
    found = rent_range(chip("h100"))
    assert found is not None
    assert found[0] < gpu_hour(chip("h100")).per_device_hour < found[1]
    assert rent_range(chip("h800")) is None


def test_price_lists() -> None:
    r1 = price_list("deepseek-r1", "2025-02-01")
    assert (r1.hit, r1.miss, r1.output) == (0.14, 0.55, 2.19)
    # the day that DeepSeek published: 342 B tokens hit, 266 B missed, 168 B came out, worth $562,027 by its own count
    worth = 342e3 * r1.hit + 266e3 * r1.miss + 168e3 * r1.output
    assert worth == pytest.approx(562_027, rel=0.001)
    assert price_list("deepseek-v3").date == "2025-02-08"
    assert price_list("deepseek-v3 off-peak").date == "2025-02-26"
    assert all(row.miss >= 0 and row.output >= 0 and row.source for row in price_lists())
    given = price_list("0.1,0.5,2 EUR")
    assert (given.hit, given.miss, given.output, given.currency) == (0.1, 0.5, 2.0, "EUR")
    with pytest.raises(UserError, match="Did you mean 'deepseek-v3'"):
        price_list("deepseek-v33")


def test_how_old_an_answers_prices_are() -> None:
    today = datetime.date.today()
    old, new = (str(today - datetime.timedelta(days)) for days in (40, 3))
    price = gpu_hour(chip("h100"), given="$2/h")
    assert how_old([price]) == []
    [said] = how_old([replace(price, kind="catalogue", date=new), replace(price, kind="assumed", date=old)])
    assert said == f"Prices here are up to 40 days old ({old}); `centime catalogue update` fetches newer."
    assert how_old([replace(price, kind="catalogue", date=new)], lists=[old]) == [said]
    [own] = how_old([replace(price, kind="overlay", date=new)], fixed=[old])
    assert own == f"Prices of your own here are up to 40 days old ({old})."
    assert len(how_old([replace(price, kind="catalogue", date=new), replace(price, kind="overlay", date=old)])) == 2
    assert how_old([replace(price, kind="catalogue")]) == []  # of today


def test_the_price_of_a_region_is_of_an_offer_there() -> None:
    europe, us = (gpu_hour(chip("h200"), area=area) for area in ("europe", "us"))
    assert (europe.per_device_hour, us.per_device_hour) == (3.39, 3.5)  # the lower of two; the only one
    assert "in europe" in europe.note
    assert "verda" in europe.source
    overlay_path().write_text('[[price]]\ndevice = "H200"\nper_hour = 1.1\ncurrency = "EUR"\ndate = "2026-10"\n')
    assert gpu_hour(chip("h200"), area="us") == us  # one's own prices say no region


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"area": "mars"}, "--price-region 'mars' is none of us, canada, europe"),
        ({"area": "asia"}, "No price of an hour in asia is known for H200 SXM 141GB; known are those in us, europe. "),
        ({"area": "us", "given": "$2/h"}, "beside --price leave it out"),
        ({"area": "us", "market": "reserved"}, "beside --market reserved leave it out"),
        ({"area": "asia", "market": "spot"}, "No spot price of an hour in asia is known for H200 .* us, eur"),
    ],
)
def test_a_region_without_prices_is_a_sentence(asked: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        gpu_hour(chip("h200"), **asked)
    with pytest.raises(UserError, match="none that its source places in a region is known"):
        gpu_hour(chip("mi300x"), area="us")


def test_a_spot_price_is_of_its_region_and_its_date() -> None:
    """Verda's and Nebius' in Finland and beside; RunPod's is of no region."""
    h100 = chip("h100")
    europe, anywhere = (gpu_hour(h100, market="spot", area=area) for area in ("europe", None))
    assert (europe.per_device_hour, europe.date) == (0.8015, "2026")
    assert "spot in europe" in europe.note
    assert (anywhere.per_device_hour, anywhere.date) == (1.5, "2026-03-16")
    assert gpu_hour(h100, "2026-02-01", market="spot").per_device_hour == 0.8015  # what was known by then
    assert gpu_hour(h100, "2020-01-01", market="spot").date == "2026"  # the first that is known


def test_chips_of_one_cloud_alone_have_its_price() -> None:
    for name, hour, words in (("T4", 0.526, "AWS"), ("A10G", 1.006, "AWS"), ("A40", 0.35, "RunPod")):
        price = gpu_hour(chip(name))
        assert (price.per_device_hour, price.kind) == (hour, "catalogue")
        assert words in price.note
    assert gpu_hour(chip("T4"), area="middle-east").per_device_hour == 0.645
