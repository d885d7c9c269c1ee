"""What a frontier shows: its title, the measured points of the chart, money, and the lines that start the best."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.plan.frontier.test_plan import MEASURED, REQUEST

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.frontier.measured import measured
from centime.plan.frontier.plan import FrontierPlan
from centime.plan.frontier.planner import plan_frontier
from centime.plan.frontier.report import sections, title
from centime.plan.serving.choice import Lengths
from centime.plan.show.language import writer
from centime.plan.show.sections import LineChart, Notes, Table

ENGLISH = writer("en")


@pytest.fixture(scope="module")
def plan() -> FrontierPlan:
    return plan_frontier(replace(REQUEST, chips=("h100", "b200"), measured=str(MEASURED)))


def charts(plan: FrontierPlan) -> list[LineChart]:
    return [section for section in sections(plan, ENGLISH) if isinstance(section, LineChart)]


def table(plan: FrontierPlan, name: str) -> Table:
    return next(one for one in sections(plan, ENGLISH) if isinstance(one, Table) and one.title.startswith(name))


def test_a_title_names_three_chips_and_counts_more(plan: FrontierPlan) -> None:
    h100, b200 = plan.curves
    names = ["H100 SXM 80GB", "B200 SXM 180GB", "H20"]
    three = [*plan.curves, h100, replace(b200, chip=replace(b200.chip, name="H20"))]
    assert title(replace(plan, curves=tuple(three)), ENGLISH).endswith(f"a chip, {', '.join(names)}")
    four = [*three, replace(b200, chip=replace(b200.chip, name="GB200"))]
    assert title(replace(plan, curves=tuple(four)), ENGLISH).endswith("a chip, 4 chips")


def test_measured_points_are_dots_in_the_colour_of_their_chip(plan: FrontierPlan) -> None:
    (point,) = plan.measured.points
    chart = charts(plan)[0]
    (dots,) = [line for line in chart.lines if line.dots]
    assert (dots.name, dots.points, dots.tone) == (
        "H100 SXM 80GB, measured",
        [(point.per_user, point.per_chip)],
        0,
    )
    assert "Measured: 1 point. Left out: another chip (1)" in chart.note
    twice = charts(replace(plan, curves=(plan.curves[1], plan.curves[0], plan.curves[0])))[0]
    assert [line.tone for line in twice.lines if line.dots] == [1]
    without = charts(replace(plan, measured=None))[0]
    assert (len(without.lines), without.note) == (2, "Bands: 80 %.")


def test_charts_have_axes_of_powers_of_ten_and_bands_around_their_lines(plan: FrontierPlan) -> None:
    tokens, money = charts(plan)
    for chart in (tokens, money):
        assert (chart.log_x, chart.log_y) == (True, True)
    for curve, line, dollars in zip(plan.curves, tokens.lines, money.lines, strict=False):
        assert line.points[0][0] >= curve.points[0].per_user * (1 - 1e-9)
        assert line.points[-1][0] <= curve.points[-1].per_user * (1 + 1e-9)
        for (x, y), (at, low, high) in zip(line.points, line.band, strict=True):
            assert (at, low) == (x, y * curve.low)
            assert y <= high <= y * curve.high * (1 + 1e-9)
        millions = 3600 / curve.price.per_device_hour / 1e6
        assert [y for _, y in dollars.points] == pytest.approx([y * millions for _, y in line.points])
    assert len(charts(replace(plan, curves=tuple(replace(curve, price=None) for curve in plan.curves)))) == 1


def test_tables_tell_what_each_curve_gives_and_a_dash_beyond_it(plan: FrontierPlan) -> None:
    rows = table(plan, "Output tokens/s per chip").rows
    for curve, row in zip(plan.curves, rows, strict=True):
        for speed, cell in zip((20.0, 40.0, 60.0, 100.0), row[1:], strict=True):
            point = curve.at(speed)
            assert cell == ("–" if point is None else f"{ENGLISH.plain(point.per_chip)} ({point.layout})")
    slow = replace(plan.curves[0], points=plan.curves[0].points[:1])
    assert table(replace(plan, curves=(slow,)), "Output tokens/s per chip").rows[0][-1] == "–"
    best = plan.curves[0].best
    first = table(plan, "Layouts on H100").rows[0]
    assert first == [
        best.layout,
        str(best.chips),
        ENGLISH.plain(best.batch / best.engine.unit.chips),
        f"{ENGLISH.number(best.tpot_s * 1e3, '.3g')} ms",
        ENGLISH.plain(best.per_chip),
        " – ".join(map(ENGLISH.plain, plan.curves[0].span(best, plan.lengths))),
        ENGLISH.money(1e6 / plan.curves[0].per_dollar(best.per_chip), "USD"),
        "best",
    ]
    unpriced = replace(plan, curves=tuple(replace(curve, price=None) for curve in plan.curves))
    for several in (plan, unpriced):
        tables = [one for one in sections(several, ENGLISH) if isinstance(one, Table)]
        assert [one.title for one in tables for row in one.rows if len(row) != len(one.head)] == []
    assert len(table(unpriced, "Layouts on H100").rows[0]) == 7
    fits = table(plan, "What fits").rows
    for curve, row in zip(plan.curves, fits, strict=True):
        memory = curve.memory(plan.lengths)
        assert row[2:] == [ENGLISH.count(memory.context), f"{memory.concurrency:,.0f}"]


def test_each_unit_of_the_best_layout_is_started_for_what_it_does(plan: FrontierPlan) -> None:
    curve = plan.curves[0]
    alone = next(one for one in curve.layouts if one.serves and one.prefill is None)
    apart = next(one for one in curve.layouts if one.serves and one.prefill is not None)
    assert [role for role, _ in plan.launches(replace(curve, layouts=(alone,)))] == ["both"]
    (first, prefill), (then, decode) = plan.launches(replace(curve, layouts=(apart,)))
    assert (first, then) == ("prefill", "decode")
    assert "--disaggregation-mode prefill" in prefill["sglang"]
    assert "--disaggregation-mode decode" in decode["sglang"]
    assert plan.launches(replace(curve, layouts=())) == []
    named = replace(plan, request=replace(plan.request, model="meta-llama/Llama-3.1-70B"))
    assert (
        "vllm serve meta-llama/Llama-3.1-70B "
        in dict(named.launches(curve))[first if curve.best.prefill else "both"]["vllm"]
    )


def test_of_more_than_three_curves_the_one_that_serves_most_is_started(plan: FrontierPlan) -> None:
    def started(curves: list) -> list[str]:
        shown = sections(replace(plan, curves=tuple(curves)), ENGLISH)
        return [section.title for section in shown if isinstance(section, Notes) and "To start it" in section.title]

    h100, b200 = plan.curves
    assert b200.best.per_chip > h100.best.per_chip
    assert len(started([h100, h100, b200])) == 3
    assert started([h100, h100, b200, h100]) == [f"To start it: {b200.name}"]
    assert started([replace(h100, layouts=())]) == []


def test_what_the_layouts_keep_to_is_said(plan: FrontierPlan) -> None:
    (notes,) = [one for one in sections(plan, ENGLISH) if isinstance(one, Notes) and one.title == "Assumptions"]
    assert "Requests of 1,024 tokens in, 0 % of them cached, and 1,024 out" in notes.lines[0].replace("0%", "0 %")
    assert "first token within 5 s for 99 of 100, a token each 50 ms" in notes.lines[2]


@pytest.mark.parametrize(("wanted", "drawn"), [(1024.0, 1), (1280.0, 1), (820.0, 1), (1290.0, 0), (800.0, 0)])
def test_a_point_is_of_the_load_where_lengths_are_a_quarter_off_at_most(wanted: float, drawn: int) -> None:
    kind = chip("h100")
    for lengths in (Lengths(wanted, 1024.0), Lengths(1024.0, wanted)):
        found = measured(MEASURED, architecture("llama-3.1-70b").name, (kind,), lengths)
        assert len(found.points) == drawn
        assert found.left_out.get("other lengths", 0) == 2 - drawn


def test_half_a_prompt_in_the_cache_takes_about_half_as_long() -> None:
    asked = replace(REQUEST, chips=("h100",), isl=60_000, ttft_s=1.0)

    def seconds(hit: float) -> list[float]:
        layouts = plan_frontier(replace(asked, hit=hit)).curves[0].layouts
        return [float(found[1]) for one in layouts if (found := re.match("a prompt takes (.*) s, alone", str(one.why)))]

    cold, warm = seconds(0.0), seconds(0.5)
    assert len(cold) == len(warm) > 1
    for one, other in zip(cold, warm, strict=True):
        assert 0.4 * one < other < 0.7 * one
