"""A frontier of several chips: layouts and why they lost, memory, measured points, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.frontier.plan import FrontierPlan
from centime.plan.frontier.planner import from_inputs, plan_frontier
from centime.plan.frontier.report import ranking
from centime.plan.frontier.request import FrontierRequest
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import Demand, ServingRequest
from centime.plan.show.language import writer
from centime.plan.show.sections import StackedBars, Table

MEASURED = Path(__file__).parents[1] / "show" / "served.csv"
REQUEST = FrontierRequest("llama-3.1-70b", ("h100", "b200", "rtx 4090"), isl=1024, osl=1024, date="2026-06-01")


@pytest.fixture(scope="module")
def plan() -> FrontierPlan:
    return plan_frontier(replace(REQUEST, measured=str(MEASURED)))


def test_curves_fall_and_bands_hold_them(plan: FrontierPlan) -> None:
    assert [curve.chip.name for curve in plan.curves] == ["H100 SXM 80GB", "B200 SXM 180GB", "RTX 4090"]
    for curve in plan.shown:
        rates = [point.per_chip for point in curve.points]
        assert rates == sorted(rates, reverse=True)
        assert curve.low < 1 < curve.high
    h100, b200, _ = plan.curves
    for speed in (20.0, 40.0):
        assert b200.at(speed).per_chip > h100.at(speed).per_chip


def test_money_is_the_price_of_an_hour(plan: FrontierPlan) -> None:
    curve = plan.curves[0]
    assert curve.per_dollar(100.0) == pytest.approx(360_000 / curve.price.per_device_hour)
    assert replace(curve, price=None).per_dollar(100.0) is None
    assert replace(curve, price=replace(curve.price, per_device_hour=1e-320)).per_dollar(100.0) is None


def test_a_price_is_of_the_chip_that_it_names() -> None:
    found = plan_frontier(replace(REQUEST, prices=("b200=$7/h",)))
    assert [curve.price.kind for curve in found.curves[:2]] == ["catalogue", "given"]
    assert found.curves[1].price.per_device_hour == 7
    alone = plan_frontier(replace(REQUEST, chips=("h100",), prices=("$3/h",)))
    assert alone.curves[0].price.per_device_hour == 3


def test_the_best_layout_is_near_what_plan_serve_takes(plan: FrontierPlan) -> None:
    served = plan_serving(
        ServingRequest("llama-3.1-70b", "h100", demand=Demand(1e9, 1e9), isl=1024, osl=1024, date="2026-06-01")
    )
    rate = served.demand.output_per_day / 86400 / served.gpus_mean
    assert plan.curves[0].best.per_chip == pytest.approx(rate, rel=0.35)  # before loads are simulated, no headroom kept
    assert plan.curves[0].best.per_chip >= rate * 0.95


def test_each_layout_but_the_best_says_why_it_lost(plan: FrontierPlan) -> None:
    layouts = plan.curves[0].layouts
    assert layouts[0].why is None
    assert all(one.why for one in layouts[1:])
    said = " ".join(layouts[-1].why for layouts in (curve.layouts for curve in plan.curves))
    assert "does not fit" in said  # 70 GB of weights on one chip
    slower = next(one for one in layouts[1:] if one.serves)
    times = layouts[0].per_chip / slower.per_chip
    assert slower.why == (f"{times:.2f} times slower" if times >= 1.1 else f"{1 - 1 / times:.1%} slower")


def test_the_table_has_ten_that_serve_and_then_what_stands_in_the_way(plan: FrontierPlan) -> None:
    tables = [section for section in verbs.sections(plan, "en") if isinstance(section, Table)]
    table = next(one for one in tables if one.title == f"Layouts on {plan.curves[2].name}")
    layouts = plan.curves[2].layouts
    assert [row[0] for row in table.rows] == [one.layout for one in layouts[:10] if one.serves]
    for one in layouts:
        assert one.serves or f"{one.layout}" in table.note
    assert table.note.count("does not fit") == 1


def test_a_limit_that_a_layout_misses_is_named() -> None:
    tight = plan_frontier(replace(REQUEST, chips=("h100",), tpot_s=0.012))
    assert any("a token takes" in str(one.why) for one in tight.curves[0].layouts)
    hasty = plan_frontier(replace(REQUEST, chips=("h100",), isl=60_000, ttft_s=1.0))
    assert any("a prompt takes" in str(one.why) for one in hasty.curves[0].layouts)


def test_memory_adds_up_to_the_chip_and_what_fits_fits(plan: FrontierPlan) -> None:
    for curve in plan.curves:
        if curve.best is None:
            continue
        memory = curve.memory(plan.lengths)
        assert sum(memory.parts().values()) == pytest.approx(curve.chip.memory_gb)
        assert all(part >= 0 for part in memory.parts().values())
        engine = curve.best.engine
        assert engine.room(memory.context) >= engine.unit.dp > engine.room(memory.context + 1)
        assert curve.best.batch <= engine.room(plan.lengths.isl + plan.lengths.osl / 2) * (1 + 1e-9)


def test_measured_points_are_those_of_the_question_and_the_others_are_counted(plan: FrontierPlan) -> None:
    (point,) = plan.measured.points
    assert (point.id, point.chip, point.per_user) == ("A", "H100 SXM 80GB", 50.0)
    assert point.per_chip == pytest.approx(64 * 1024 / (0.4 + 1023 * 0.02) / 4)
    assert plan.measured.left_out == {
        "another chip": 1,
        "other lengths": 1,
        "another model": 1,
        "a model or chip that is not known": 1,
        "no speed for a user, or no tokens of a chip": 1,
        "a cell that cannot be read": 1,
    }


def test_the_ranking_is_one_only_where_intervals_are_apart(plan: FrontierPlan) -> None:
    w = writer("en")
    first, second = (replace(curve, low=0.999, high=1.001) for curve in plan.curves[:2])
    assert "gives the most" in ranking(replace(plan, curves=(first, second)), w)
    wide = replace(first, high=10.0)
    assert "no ranking" in ranking(replace(plan, curves=(wide, second)), w)
    assert "No layout" in ranking(replace(plan, curves=()), w)


def test_a_curve_that_cannot_be_says_why_and_the_others_stand() -> None:
    found = plan_frontier(replace(REQUEST, chips=("a100", "h100"), precisions=("fp8",)))
    a100, h100 = found.curves
    assert "does not compute in fp8" in a100.why_not
    assert not a100.points
    assert h100.points
    assert any("does not compute" in str(section) for section in verbs.sections(found, "en"))


def test_launch_lines_are_of_the_engine_asked_for() -> None:
    found = plan_frontier(replace(REQUEST, chips=("h100",), engines=("sglang", "")))
    one, any_engine = found.curves
    assert {engine for _, lines in found.launches(one) for engine in lines} == {"sglang"}
    assert {engine for _, lines in found.launches(any_engine) for engine in lines} == {"vllm", "sglang", "trt"}
    assert "$MODEL" in str(found.launches(one))


def test_few_chips_leave_small_units() -> None:
    found = plan_frontier(replace(REQUEST, chips=("h100",), gpus=2))
    assert all(one.engine.unit.chips <= 2 for one in found.curves[0].layouts)


def test_json_stands_and_rebuilds(plan: FrontierPlan) -> None:
    found = plan.to_json()
    json.dumps(found)
    assert from_inputs(json.loads(json.dumps(plan.inputs()))).to_json() == found
    assert len(found["curves"][0]["layouts"]) == min(10, len(plan.curves[0].layouts))


def test_the_page_has_a_bar_of_memory_for_each_chip_that_serves(plan: FrontierPlan) -> None:
    bars = next(section for section in verbs.sections(plan, "en") if isinstance(section, StackedBars))
    assert len(bars.bars) == sum(curve.best is not None for curve in plan.curves)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chips": ()}, "--chips: none"),
        ({"engines": ("ollama",)}, "--engines: 'ollama'"),
        ({"precisions": ("fp3",)}, "fp3"),
        ({"gpus": 0}, "--gpus 0"),
        ({"prices": ("$2/h",)}, "is of no chip that is asked about"),
        ({"prices": ("h20=$2/h",)}, "is of no chip"),
        ({"prices": ("h100=2 EUR/h",)}, "one currency"),
        ({"prices": ("h100=two",)}, "not a price of an hour"),
        ({"chips": ("h100",) * 25}, "25 curves"),
        ({"chips": ("h1000",)}, "h1000"),
        ({"osl": 0.0}, "--osl"),
        ({"measured": "no.csv"}, "no.csv"),
        ({"date": "soon"}, "soon"),
    ],
)
def test_a_wrong_input_is_a_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan_frontier(replace(REQUEST, **change))


def test_no_band_reaches_beyond_what_the_chip_can(plan: FrontierPlan) -> None:
    """An interval of twenty times ends at the curve with nothing in the way, and a layout's at what its units can."""
    for curve in (replace(curve, high=20.0) for curve in plan.curves if curve.best):
        ends = [(point, curve.band(point.per_user, point.per_chip)[1]) for point in curve.points]
        assert all(point.per_chip <= high <= 20 * point.per_chip for point, high in ends)
        assert any(high < 19 * point.per_chip for point, high in ends)
        assert curve.best is not None
        low, high = curve.span(curve.best, plan.lengths)
        assert low < curve.best.per_chip <= high < 19 * curve.best.per_chip
