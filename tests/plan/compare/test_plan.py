"""Comparisons: one thing varies, a column that cannot says why, and export status is of the date."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.compare.plan import compare, from_inputs
from centime.plan.compare.request import CompareRequest
from centime.plan.show.sections import Table

V3 = {"models": ("deepseek-v3",), "gpus": 2048, "tokens": 14.8e12, "software_date": "2024-12"}


@pytest.fixture
def chips():
    return compare(CompareRequest(chips=("h800", "h20", "910c"), layouts=("pp=16,ep=64",), date="2025-06-01", **V3))


def test_chips_side_by_side(chips):
    h800, h20, ascend = chips.columns
    assert h800.training.gpu_hours < h20.training.gpu_hours  # 148 TFLOPS against 989
    assert h800.cost == pytest.approx(h800.training.gpu_hours * h800.price.per_device_hour)
    assert ascend.price is None  # nobody publishes a rent: hours without money, and it says so
    assert ascend.training is None or ascend.training.gpu_hours > 0
    assert ascend.cost is None
    assert any("price" in reason for reason in ascend.why_not)


def test_power_is_the_catalogues_or_says_what_it_assumes(chips):
    assert chips.columns[0].megawatts == pytest.approx(2048 * 0.7 * 2.47 / 1000, rel=0.01)
    assert any("H800" in line and "TDP" in line for line in chips.assumptions)


def test_software_is_of_the_date():
    asked = CompareRequest(("deepseek-v3",), ("h800",), ("pp=16,ep=64",), date="2025-06-01", price="$2/h")
    assert compare(asked).request.software_date == "2025-06"
    assert compare(replace(asked, software_date="2024-12")).request.software_date == "2024-12"


@pytest.mark.parametrize("date", ["soon", "2026-13", ""])
@pytest.mark.parametrize("stated", [{}, {"software_date": "2024-12", "price": "$2/h"}])
def test_a_date_that_is_none_is_refused(date, stated):
    with pytest.raises(UserError, match=f"^'{date}' is not a date"):
        compare(CompareRequest(("deepseek-v3",), ("h800",), ("pp=16,ep=64",), date=date, **stated))


def test_export_status_is_of_the_date(chips):
    def china(date: str) -> list[str]:
        found = compare(CompareRequest(chips=("h800", "h20", "h200"), layouts=("pp=16,ep=64",), date=date, **V3))
        return [column.statuses["cn"].status for column in found.columns]

    assert china("2023-06-01") == ["allowed", "not on sale", "not on sale"]
    assert china("2024-06-01")[0] == "banned"
    assert china("2026-02-01")[2] == "licence"
    h800, _, ascend = chips.columns
    assert h800.statuses["cn"].status == "banned"
    assert ascend.statuses["cn"].may_buy


def test_json_stands_and_rebuilds(chips):
    found = chips.to_json()
    json.dumps(found)
    assert [column["name"] for column in found["columns"]] == [column.name for column in chips.columns]
    hours = [(column["training"] or {}).get("gpu_hours") for column in found["columns"]]
    assert hours == [column.training.gpu_hours if column.training else None for column in chips.columns]
    again = from_inputs(json.loads(json.dumps(chips.inputs())))
    assert again.to_json() == found
    for lang in ("en", "fr"):
        assert verbs.title(chips, lang)
        tables = [one for one in verbs.sections(chips, lang) if isinstance(one, Table)]
        assert any("200 x 8 / 50" in row for table in tables for row in table.rows)  # NVLink and one NIC a GPU of H800


def test_layouts_and_models():
    found = compare(CompareRequest(chips=("h800",), layouts=("pp=16,ep=64", "pp=8,ep=64", "pp=7"), price="$2/h", **V3))
    assert [column.name for column in found.columns] == ["pp=16,ep=64", "pp=8,ep=64", "pp=7"]
    assert found.columns[2].training is None
    assert "gpus" in " ".join(found.columns[2].why_not)
    two = compare(CompareRequest(("deepseek-v3", "deepseek-67b"), ("h800",), ("auto",), tokens=1e12, price="$2/h"))
    v3, dense = two.columns
    assert dense.training.gpu_hours > v3.training.gpu_hours  # V2 report, section 3.2.3: sparsity pays


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": ("deepseek-v3", "deepseek-v2"), "chips": ("h800", "h100")}, "vary at once"),
        ({"chips": ()}, "none is given"),
        ({"chips": ("h800", "h100"), "price": "$2/h"}, "one chip's hour"),
        ({"chips": ("h8000",)}, "h8000"),
        ({"region": "eu"}, "no region"),
        ({"date": "yesterday"}, "not a date"),
        ({"precision": "fp3"}, "not one to train in"),  # wrong for every column: no table of dashes
        ({"serve_precision": "fp3"}, "precision 'fp3' is not one of"),
        ({"price": "two dollars"}, "not a price of an hour"),
        ({"layouts": ("pipelined",)}, "layout: 'pipelined'"),
        ({"software_date": "soon"}, "software date"),
        ({"software_date": "2025-02-30"}, "software date"),
        ({"hit": float("nan")}, "hit=nan is not a share"),
        ({"ttft_s": float("inf")}, "--ttft inf"),
    ],
)
def test_bad_input_is_a_sentence(change, says):
    with pytest.raises(UserError, match=says):
        compare(CompareRequest(**{"models": ("deepseek-v3",), "chips": ("h800",), **change}))


def test_unknown_inputs_are_named():
    with pytest.raises(UserError, match="'chip' is unknown"):
        from_inputs({"models": ["deepseek-v3"], "chip": ["h800"]})


def test_a_served_token_costs_the_chip_hours_of_its_phase():
    (column,) = compare(CompareRequest(("deepseek-v3",), ("h800",), ("pp=16,ep=64",), price="$2/h")).columns
    serving = column.serving
    assert serving.output_gpu_hours == pytest.approx(1e6 / serving.output_per_s_per_gpu / 3600)
    assert serving.output_gpu_hours / 100 < serving.input_gpu_hours < serving.output_gpu_hours
    assert column.per_million("input") == pytest.approx(2 * serving.input_gpu_hours)
