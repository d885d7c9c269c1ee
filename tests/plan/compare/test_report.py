"""A comparison's report: each cell is its column's own figure, and a dash where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.show.shown import notes, one, rows

from centime.catalogue.hourly_prices import how_old
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.compare.plan import Comparison, compare
from centime.plan.compare.request import CompareRequest, varying
from centime.plan.lifetime.report import cost
from centime.plan.show.language import writer
from centime.plan.show.sections import BarChart, Section, Table
from centime.plan.step.layout import text

W = writer("en")


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(
        CompareRequest(
            ("deepseek-v3",),
            ("h800", "910c"),
            ("pp=16,ep=64",),
            gpus=2048,
            tokens=14.8e12,
            date="2025-06-01",
            region="cn",
        )
    )


@pytest.fixture(scope="module")
def shown(found: Comparison) -> list[Section]:
    return verbs.sections(found, "en")


@pytest.fixture(scope="module")
def told(found: Comparison) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = found.to_json()["columns"]
    return columns


def test_the_table(found: Comparison, shown: list[Section], told: list[dict[str, Any]]) -> None:
    table = rows(shown, "")
    h800, ascend = told
    chip, plan = found.columns[0].chip, found.columns[0].training
    assert plan is not None
    training, serving = h800["training"], h800["serving"]
    per, memory = h800["price_per_gpu_hour"], training["memory_gib_per_gpu"]["total"]
    expected = {
        "Chip: TFLOPS bf16 / GB / TB/s": f"{chip.bf16_tflops:g} / {chip.memory_gb:g} / {chip.memory_tb_s:g}",
        "Links: GB/s x domain / beyond": "200 x 8 / 50",
        "Price of an hour (date)": f"{W.money(per, 'USD')} ({h800['price_date']})",
        "Training: GPU-hours": W.count(training["gpu_hours"]),
        "Interval, 80 %": f"{W.count(training['interval']['low'])} – {W.count(training['interval']['high'])}",
        "Training: cost": cost(W, training["gpu_hours"] * per, "USD"),
        "Rent of its chips a month": f"${plan.request.gpus * per * 24 * 365.25 / 12:,.0f}",
        "Rent of its chips a year": f"${plan.request.gpus * per * 24 * 365.25:,.0f}",
        "Training: days": f"{training['days']:.1f}",
        "MFU": f"{100 * training['mfu']:.1f} %",
        "Layout": f"{text(plan.step.layout).replace(',', ', ')} (fp8)",
        "Memory: GiB used / had": f"{memory:.1f} / {80e9 / 2**30:.1f}",
        "Power: MW / GWh of training": f"{h800['megawatts']:.2f} / {h800['gigawatt_hours']:.2f}",
        "Serving: per million input tokens": W.money(serving["input_gpu_hours"] * per, "USD"),
        "Serving: per million output tokens": W.money(serving["output_gpu_hours"] * per, "USD"),
        "Interval, 80 %, of output tokens": " – ".join(
            W.money(serving["output_gpu_hours"] * per * serving[end], "USD") for end in ("low", "high")
        ),
        "Serving: output tokens/s per GPU": f"{serving['output_per_s_per_gpu']:,.0f} ({serving['precision']})",
        "China": "banned",
        "United States": h800["export_status"]["us"],
    }
    assert {name: cells[0] for name, cells in table.items()} == expected
    dashes = [name for name, cells in table.items() if cells[1] == "–"]
    assert {"Price of an hour (date)", "Training: cost", "Serving: per million input tokens"} <= set(dashes)
    assert ("Training: GPU-hours" in dashes) == (ascend["training"] is None)
    assert ascend["price_per_gpu_hour"] is None
    assert ascend["currency"] is None


def test_figures_follow_from_one_another(told: list[dict[str, Any]]) -> None:
    training, serving = told[0]["training"], told[0]["serving"]
    assert training["interval"]["confidence"] == 0.8
    assert training["interval"]["low"] < training["gpu_hours"] < training["interval"]["high"]
    assert training["gpu_hours"] == pytest.approx(training["days"] * 24 * 2048)
    assert told[0]["training_cost"] == pytest.approx(training["gpu_hours"] * told[0]["price_per_gpu_hour"])
    assert told[0]["gigawatt_hours"] == pytest.approx(told[0]["megawatts"] * training["days"] * 24 / 1000)
    for which in ("input", "output"):
        per = told[0][f"{which}_price_per_million"]
        assert per == pytest.approx(serving[f"{which}_gpu_hours"] * told[0]["price_per_gpu_hour"])
    assert serving["low"] < 1 < serving["high"]
    assert told[0]["active_params"] < told[0]["params"]
    assert [column["may_buy"] for column in told] == [False, True]


def test_bars_notes_and_who_may_buy(found: Comparison, shown: list[Section], told: list[dict[str, Any]]) -> None:
    trained = one(shown, BarChart, "Training")
    assert (trained.unit, trained.bars) == ("USD", [(told[0]["name"], told[0]["training_cost"])])
    served = one(shown, BarChart, "Serving")
    assert served.unit == "USD per million output tokens"
    assert served.bars == [(told[0]["name"], told[0]["output_price_per_million"])]
    buyers = one(shown, Table, "Who may buy it")
    assert [row[0] for row in buyers.rows] == [column.chip.name for column in found.columns]
    assert buyers.note.startswith("On 2025-06-01. Not to be had by ")
    assert found.columns[0].chip.name in buyers.note
    assert found.columns[1].chip.name not in buyers.note
    stands = notes(shown, "What stands in the way")
    assert stands == [f"{column['name']}: {reason}" for column in told for reason in column["why_not"]]
    assert stands
    assert notes(shown, "Assumptions") == [str(line) for line in found.assumptions]
    price = found.columns[0].price
    assert price is not None
    assert notes(shown, "Prices") == [f"{found.columns[0].name}: {price.sentence()}", *how_old([price])]


def test_columns_are_named_by_what_varies_and_a_chip_where_nothing_does(found: Comparison) -> None:
    assert [column.name for column in found.columns] == [column.chip.name for column in found.columns]
    models = compare(CompareRequest(("centime-d2", "centime-d4"), ("h100",), gpus=8, tokens=1e9, price="$2/h"))
    assert [column.name for column in models.columns] == [column.arch.name for column in models.columns]
    sections = verbs.sections(models, "en")
    assert "What stands in the way" not in [getattr(section, "title", "") for section in sections]
    assert len(one(sections, Table, "Who may buy it").rows) == 1
    assert "Not to be had" not in one(sections, Table, "Who may buy it").note
    (alone,) = compare(CompareRequest(("centime-d2",), ("h100",), gpus=8, tokens=1e9, price="$2/h")).columns
    assert alone.name == alone.chip.name


def test_chips_are_ranked_only_where_their_intervals_lie_apart() -> None:
    found = compare(CompareRequest(("deepseek-v3",), ("h800", "h20"), gpus=2048, tokens=14.8e12))
    h800, h20 = found.columns
    assert h800.serving is not None
    assert h20.serving is not None
    apart = notes(verbs.sections(found, "en"), "Ranking")
    assert apart[0] == "Training: H800 SXM 80GB costs least, its 80 % interval below all others"
    assert len(apart) == 2
    near = replace(h20, price=h800.price, training=h800.training, serving=h800.serving)
    alike = notes(verbs.sections(replace(found, columns=(h800, near)), "en"), "Ranking")
    assert alike == [
        f"{what}: no ranking of H800 SXM 80GB and H20 96GB, whose 80 % intervals overlap"
        for what in ("Training", "Serving")
    ]
    alone = verbs.sections(replace(found, columns=(h800,)), "en")
    assert "Ranking" not in [getattr(section, "title", "") for section in alone]


V3: dict[str, Any] = {"models": ("deepseek-v3",), "chips": ("h800",)}


@pytest.mark.parametrize("name", ["models", "chips", "layouts"])
def test_one_thing_varies_or_none(name: str) -> None:
    assert varying(CompareRequest(**V3)) == []
    assert varying(CompareRequest(**V3 | {name: ("auto", "auto")})) == [name]
    with pytest.raises(UserError, match=f"{name}: none is given"):
        varying(CompareRequest(**V3 | {name: ()}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": "fp3"},
        {"serve_precision": "fp3"},
        {"price": "much"},
        {"price": "$2/h", "chips": ("h800", "h100")},
        {"region": "eu"},
        {"software_date": "soon"},
        {"hit": 1.0},
        {"isl": 0.0},
        {"osl": -1.0},
        {"ttft_s": 0.0},
        {"tpot_s": 0.0},
        {"layouts": ("auto", "sideways")},
    ],
)
def test_a_word_that_means_nothing_in_any_column_is_the_questions_fault(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        varying(CompareRequest(**V3 | wrong))


def test_a_column_with_a_price_that_cannot_serve_has_dashes() -> None:
    found = compare(CompareRequest(("centime-d2",), ("h100",), gpus=8, tokens=1e9, price="$2/h", tpot_s=1e-6))
    table = rows(verbs.sections(found, "en"), "")
    serving = {name: cells for name, cells in table.items() if name.startswith("Serving")}
    assert len(serving) == 3
    assert all(cells == ["–"] for cells in serving.values())
    assert table["Price of an hour (date)"][0].startswith("$2.00")
