"""Offers of clouds as prices of chips: which chip an offer is of, and what plans then answer with."""

from __future__ import annotations

import datetime

import pytest
from tests.catalogue.updates.made import Catalogues

from centime.catalogue.chips import chip, chip_names
from centime.catalogue.hourly_prices import gpu_hour, rent_range
from centime.catalogue.prices import price_for
from centime.catalogue.updates import update
from centime.catalogue.updates.areas import area_of
from centime.catalogue.updates.skypilot import CHIPS, TPUS
from centime.ledger.device import Device

TODAY = datetime.datetime.now(datetime.UTC).date().isoformat()


def test_every_name_leads_to_a_chip_of_the_catalogue() -> None:
    assert {*CHIPS.values(), *(device for device, _ in TPUS.values())} <= set(chip_names())


def test_offers_are_told_apart_by_chip_and_counted(server: Catalogues) -> None:
    done = update("skypilot", server.address + "/sky")
    medians = {row["device"]: row["per_hour"] for row in done.found.rows if row["kind"] == "median"}
    assert medians == {
        "A100 SXM 40GB": "1.29",
        "A100 SXM 80GB": "1.79",
        "GH200 96GB": "1.99",
        "H100 PCIe 80GB": "1.99",  # 1.99 and 3.29: the lower
        "H100 SXM 80GB": "2.69",  # 2.69 and 3.99
        "TPU v5p": "4.2",  # a slice of eight cores is four chips
        "TPU v6e Trillium": "2.7",
    }
    rentals = {(row["device"], row["provider"]): row for row in done.found.rows if row["kind"] == "rental"}
    assert rentals["H100 SXM 80GB", "lambda"]["per_hour"] == "3.99"
    assert len(rentals) == 9
    assert {row["source"] for row in rentals.values()} == {f"SkyPilot catalogue at {server.address}/sky"}
    assert len({row["id"] for row in done.found.rows}) == len(done.found.rows)
    assert done.as_json()["unknown"] == {"A4000": 2, "tpu-v2": 1}
    assert done.as_json()["unused"] == {
        "without a price on demand": 2,
        "without an accelerator": 2,
        "without the machine around it": 1,
    }
    assert "runpod" not in done.as_json()["missing"]
    assert "3 entries of 2 names: A4000, tpu-v2" in str(done)


def test_offers_are_told_apart_by_region(server: Catalogues) -> None:
    """An H100 of RunPod in the US and in India, of Lambda in the US alone."""
    done = update("skypilot", server.address + "/sky")
    found = {(row["device"], row["kind"]): row["per_hour"] for row in done.found.rows if row["kind"].startswith("in ")}
    assert found["H100 SXM 80GB", "in us"] == "2.69"  # 2.69 and 3.99: the lower
    assert found["H100 SXM 80GB", "in asia"] == "2.69"
    assert ("GH200 96GB", "in asia") not in found
    assert gpu_hour(chip("h100"), area="asia").per_device_hour == 2.69
    assert gpu_hour(chip("gh200"), area="us").source.endswith(": lambda")
    assert gpu_hour(chip("h100"), area="europe").date == "2026"  # of the shipped table
    assert price_for(Device("NVIDIA GH200 480GB", "gpu", 1, 0, None, "", None)) is not None


def test_spot_offers_are_a_market_of_their_own(server: Catalogues) -> None:
    """An H100 of RunPod for 2 in the US and India, of Lambda for 9.1 an eight where it has none on demand."""
    done = update("skypilot", server.address + "/sky")
    found = {(row["device"], row["kind"]): row for row in done.found.rows if row["kind"].startswith("spot")}
    assert found["H100 SXM 80GB", "spot"]["per_hour"] == "1.1375"  # 1.1375 and 2: the lower
    assert found["H100 SXM 80GB", "spot in us"]["per_hour"] == "1.1375"
    assert found["H100 SXM 80GB", "spot in asia"]["per_hour"] == "2"
    assert found["H100 SXM 80GB", "spot in asia"]["source"].endswith(": runpod")
    assert found["TPU v6e Trillium", "spot"]["per_hour"] == "0.5442"  # 700 is where there are none
    assert ("GH200 96GB", "spot") not in found
    assert gpu_hour(chip("h100"), market="spot", area="asia").per_device_hour == 2
    assert gpu_hour(chip("h100"), market="spot").date == TODAY
    assert gpu_hour(chip("h100"), market="spot", area="europe").date == "2026"  # of the shipped table
    assert gpu_hour(chip("h100")).per_device_hour == 2.69


@pytest.mark.parametrize(
    ("region", "area"),
    [
        ("eu-north1", "europe"),
        ("FIN-03", "europe"),
        ("uksouth", "europe"),
        ("westeurope", "europe"),
        ("us-central1", "us"),
        ("eastus2", "us"),
        ("southcentralus", "us"),
        ("usgovvirginia", "us"),
        ("Georgia, US", "us"),
        ("desmoines-usa-1", "us"),
        ("northamerica-northeast1", "canada"),
        ("CANADA-1", "canada"),
        ("canadacentral", "canada"),
        ("ap-south-1", "asia"),
        ("ap-southeast-2", "australia"),
        ("australiaeast", "australia"),
        ("centralindia", "asia"),
        ("IN", "asia"),
        ("sa-east-1", "south-america"),
        ("brazilsouth", "south-america"),
        ("me-west-1", "middle-east"),
        ("uaenorth", "middle-east"),
        ("southafricanorth", "africa"),
        ("", None),
        ("zone 9", None),
    ],
)
def test_a_region_lies_in_a_part_of_the_world(region: str, area: str | None) -> None:
    assert area_of(region) == area


def test_plans_answer_with_the_newer_price_and_its_source(server: Catalogues) -> None:
    before = gpu_hour(chip("h100"))
    update("skypilot", server.address + "/sky")
    price = gpu_hour(chip("h100"))
    assert (price.per_device_hour, price.date, price.kind) == (2.69, TODAY, "catalogue")
    assert "lambda, runpod" in price.source
    assert gpu_hour(chip("h100"), before.date) == before  # an earlier date has the price of its day
    found = price_for(Device("NVIDIA H100 80GB HBM3", "gpu", 1, 0, None, "", None))
    assert found is not None
    assert found.per_device_hour == 2.69
    spread = rent_range(chip("gh200"))
    assert spread is not None
    assert spread[0] <= 1.99 <= spread[1]


def test_ones_own_price_still_goes_before(server: Catalogues) -> None:
    from centime.catalogue.prices import overlay_path

    update("skypilot", server.address + "/sky")
    overlay_path().write_text('[[price]]\ndevice = "H100"\nper_hour = 1.1\ncurrency = "EUR"\ndate = "2026-10"\n')
    assert gpu_hour(chip("h100")).per_device_hour == 1.1


def test_another_fetch_replaces_the_first(server: Catalogues) -> None:
    update("skypilot", server.address + "/sky")
    server.answers["/sky/lambda/vms.csv"] = (404, b"")
    server.answers["/sky/runpod/vms.csv"] = (404, b"")
    update("skypilot", server.address + "/sky")
    assert gpu_hour(chip("h100")).date < TODAY
    assert gpu_hour(chip("TPU v5p")).per_device_hour == 4.2


@pytest.mark.parametrize(
    ("price", "count", "taken"),
    [
        ("1000", "1", True),
        ("8000", "8.0", True),
        ("1000.01", "1", False),
        ("0", "1", False),
        ("-2", "1", False),
        ("nan", "1", False),
        ("many", "1", False),
        ("2", "0", False),
        ("2", "", False),
    ],
)
def test_what_no_hour_costs_is_no_offer(server: Catalogues, price: str, count: str, taken: bool) -> None:
    rows = "InstanceType,AcceleratorName,AcceleratorCount,Price,Region\n" + f"one,B200,{count},{price},here\n"
    server.answers["/sky/verda/vms.csv"] = (200, rows.encode())
    found = update("skypilot", server.address + "/sky").found
    assert ("B200 SXM 180GB" in {row["device"] for row in found.rows}) == taken
