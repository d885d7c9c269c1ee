"""Release prices of chips, for those that the catalogue has no purchase price of."""

from __future__ import annotations

import pytest
from tests.catalogue.updates.made import EPOCH, Catalogues

from centime.catalogue.chips import chip
from centime.catalogue.hourly_prices import _from_purchase, gpu_hour
from centime.catalogue.updates import update


def test_a_price_that_was_lacking_is_filled_and_says_where_from(server: Catalogues) -> None:
    assert chip("t4").purchase_usd is None
    kept = chip("h100").purchase_usd
    done = update("epoch", server.address + "/epoch.csv")
    assert {row["device"]: row["purchase_usd"] for row in done.found.rows} == {
        "H100 PCIe 80GB": "29000",
        "H100 SXM 80GB": "33600",
        "T4": "2295",
    }
    assert done.as_json()["unknown"] == {"NVIDIA GeForce GTX 1080 Ti": 1}
    assert done.as_json()["unused"] == {"without a release price": 1}
    assert chip("t4").purchase_usd == 2295
    assert "release price of 2018-09-13, Epoch AI" in chip("t4").purchase_note
    assert chip("h100").purchase_usd == kept  # its own row goes before
    assert "release price" in _from_purchase(chip("t4")).source
    assert gpu_hour(chip("t4")).kind == "catalogue"  # what a cloud asks goes before


@pytest.mark.parametrize(
    ("usd", "date", "price"),
    [
        ("2,295", "2018", "2295"),
        ("$2295.50", "2018-09", "2295.5"),
        ("9999999", "2018-09-13", "9999999"),
        ("10000000", "2018-09-13", None),
        ("0", "2018-09-13", None),
        ("free", "2018-09-13", None),
        ("2295", "soon", None),
    ],
)
def test_what_no_chip_costs_is_no_price(server: Catalogues, usd: str, date: str, price: str | None) -> None:
    row = f'T4,,,{date},"{usd}",\nNVIDIA H100 PCIe,,,2022-09-20,29000,\n'
    server.answers["/epoch.csv"] = (200, (EPOCH.splitlines()[0] + "\n" + row).encode())
    found = update("epoch", f"{server.address}/epoch.csv").found
    assert {row["device"]: row["purchase_usd"] for row in found.rows}.get("T4") == price
