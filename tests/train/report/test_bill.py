"""The bill and the plan beside it, cell by cell."""

from __future__ import annotations

from typing import Any

import pytest
from tests.train.report.test_report import BILL

from centime.train.report.bill import bill_table, plan_table
from centime.train.report.figures import _axes, decimal
from centime.train.report.read import _stage_offsets


def test_every_cell_of_a_bill() -> None:
    found = bill_table(BILL)
    assert found["table"].head == ["Stage", "Device time", "Tokens", "Model FLOPs", "MFU", "Energy", "Cost"]
    assert found["table"].rows == [
        ["Pre-training", "30m 00s", "81.9 K", "2.00 T", "31.0 %", "20 Wh~", "$0.0400*"],
        ["Post-training, SFT", "6m 00s", "20.5 K", "–", "–", "–", "–"],
        ["Total", "36m 00s", "102 K", "2.00 T", "–", "–", "$0.0400"],
    ]
    assert found["device"] == "1 × a CPU"
    assert found["legend"] == "Measured, but for ~ estimated, * assumed."
    assert found["notes"] == ["Prices in USD, of 2026-11-01.", "Cost assumed: priced as 2 vCPUs."]


def test_a_bill_of_several_devices_names_each_and_of_no_price_says_so() -> None:
    lines = [
        {
            "stage": "startup",
            "section": "training",
            "device": "a CPU",
            "devices": 1,
            "device_hours": 0.001,
            "tokens": 0,
        },
        {"stage": "startup", "section": "serving", "device": "a GPU", "devices": 8, "device_hours": 2.5, "cost": 0},
        {"stage": "serve", "device": "a GPU", "devices": 8, "device_hours": 0, "estimated_device_ns": 5},
    ]
    found = bill_table({"lines": lines, "total": {"device_hours": 2.501, "devices": 9}})
    assert found["table"].head[:3] == ["Stage", "Device", "Device time"]
    assert [row[:3] for row in found["table"].rows] == [
        ["Start-up and exit", "1 × a CPU", "3.6s"],
        ["Start-up and exit (serving)", "8 × a GPU", "2.5 h"],
        ["Serving", "8 × a GPU", "0.0s~"],
        ["Total", "", "2.501 h"],
    ]
    assert [row[-1] for row in found["table"].rows] == ["–", "$0.00", "–", "–"]
    assert [row[3] for row in found["table"].rows] == ["–"] * 4, "no token is nothing to show"
    assert (found["device"], found["notes"]) == ("", ["No price is known for this device."])
    assert bill_table({"lines": lines[:1]})["legend"] == "Everything is measured."


def test_every_cell_of_a_plan() -> None:
    found = plan_table(BILL)
    assert found is not None
    assert found.rows == [
        ("Device time", "30m 00s", "36m 00s", "1.20"),
        ("Tokens", "100 K", "102 K", "1.02"),
        ("Cost", "$0.0500", "$0.0400", "0.80"),
        ("Post-training, SFT: tokens", "25.6 K", "20.5 K", "0.80"),
    ]
    assert plan_table({}) is None
    assert plan_table({"plan": {"predicted": {"tokens": 5}, "actual": {"cost": 1.0}}}) is None


@pytest.mark.parametrize(
    "corrected", [None, {"seconds": 90.0, "seconds_low": 80.0, "seconds_high": 100.0, "after_seconds": 30.4}]
)
def test_the_time_is_held_against_both_forecasts(corrected: dict[str, Any] | None) -> None:
    predicted = {"seconds": 60.0, "seconds_low": 50.0, "seconds_high": 70.0, "corrected": corrected}
    found = plan_table({"plan": {"predicted": predicted, "actual": {"seconds": 90.0}}})
    assert found is not None
    assert [row[:3] for row in found.rows] == [
        ("Time", "1m 00s", "1m 30s"),
        *([("Time, forecast after 30 s", "1m 30s", "1m 30s")] if corrected else []),
    ]
    assert [row[3][:4] for row in found.rows] == ["1.50", *(["1.00"] if corrected else [])]


def test_where_each_stage_begins() -> None:
    """One that counts on goes on; one that counts from zero follows what came before, also at the very same count."""
    steps = [("a", 10), ("a", 20), ("b", 20), ("b", 30), ("c", 60)]
    found = _stage_offsets([{"stage": stage, "tokens": tokens} for stage, tokens in steps])
    assert found == ({"a": 0.0, "b": 20.0, "c": 0.0}, [(20.0, "b"), (50.0, "c")])


def test_axes_from_zero_are_never_logarithmic() -> None:
    zero, free = _axes("t", "u", decimal, from_zero=True), _axes("t", "u", decimal)
    assert (zero.from_zero, zero.log_y, free.from_zero, free.log_y) == (True, False, False, None)
