"""What the rule of 2023-10-17 means for a chip that the table does not name: by its TPP, its maker and its launch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.chips import Chip, chip
from centime.catalogue.export_rules import sale_windows, status

OWN = replace(chip("h100"), name="ours", launched="2022-09-20", tpp=4800.0, export_status="")


@pytest.mark.parametrize(
    ("own", "windows", "begins"),
    [
        (OWN, [("2022-09-20", "2023-10-17")], "2022-09-20"),
        (replace(OWN, launched="2023-10-16"), [("2023-10-16", "2023-10-17")], "2023-10-16"),
        (replace(OWN, launched="2023-10-17"), [], "2023-10-17"),
        (replace(OWN, launched="2025-01"), [], "2025-01"),
        (replace(OWN, launched=""), [], None),
        (replace(OWN, tpp=4799.0), [("2022-09-20", None)], "2022-09-20"),
        (replace(OWN, tpp=None), [], "2022-09-20"),
        (replace(OWN, tpp=None, vendor="Huawei"), [("2022-09-20", None)], "2022-09-20"),
        (replace(OWN, export_status="cloud only"), [], "2022-09-20"),
        (replace(OWN, tpp=4799.0, launched="announced 2026-03, sold from 2027"), [("2026-03", None)], "2026-03"),
    ],
)
def test_china_buys_what_is_below_the_limit_or_was_sold_before_it_and_the_us_all(
    own: Chip, windows: list[tuple[str, str | None]], begins: str | None
) -> None:
    assert sale_windows(own, "cn") == windows
    assert sale_windows(own, "us") == [(begins, None)]


@pytest.mark.parametrize(
    ("own", "buyer", "found"),
    [
        (OWN, "cn", "banned"),
        (replace(OWN, launched="2027"), "cn", "not on sale"),
        (replace(OWN, launched=""), "cn", "banned"),
        (replace(OWN, launched="2027", tpp=100.0), "cn", "not on sale"),
        (replace(OWN, tpp=None), "cn", "unknown"),
        (replace(OWN, export_status="cloud only"), "us", "cloud only"),
        (replace(OWN, export_status="cloud only"), "cn", "unknown"),
        (replace(OWN, export_status="cloud only"), "any", "cloud only"),
        (replace(OWN, tpp=None), "any", "allowed"),
    ],
)
def test_what_is_derived_of_a_date(own: Chip, buyer: str, found: str) -> None:
    assert status(own, "2026-11-30", buyer).status == found
