"""What a break-even plan shows and assumes: every figure is the plan's own, and each sentence stands where it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.plan.breakeven.test_plan import REQUEST

from centime.catalogue.chips import chip
from centime.catalogue.hourly_prices import gpu_hour, rent_range
from centime.plan.breakeven.hour import combined, hour_of
from centime.plan.breakeven.plan import BreakevenPlan
from centime.plan.breakeven.planner import plan_breakeven
from centime.plan.breakeven.report import sections
from centime.plan.show.language import writer
from centime.plan.show.sections import Figures, LineChart, Notes, Table

ENGLISH = writer("en")


@pytest.fixture(scope="module")
def plan() -> BreakevenPlan:
    return plan_breakeven(
        replace(REQUEST, apis=("0.06,0.06,0.06", "0.0001,0.0001,0.0001", "deepseek-v4-flash"), date="2026-09-01")
    )


def table(plan: BreakevenPlan, name: str) -> list[list[str]]:
    return next(one for one in sections(plan, ENGLISH) if isinstance(one, Table) and one.title == name).rows


def test_the_headlines_are_of_the_first_api_where_its_costs_are_met(plan: BreakevenPlan) -> None:
    (head,) = [section for section in sections(plan, ENGLISH) if isinstance(section, Figures)]
    first = plan.crossings[0]
    pays, interval, gpus, day, own, api = head.items
    assert pays.figure == f"from {ENGLISH.count(first.load)} tokens a day on"
    assert interval.figure == f"{ENGLISH.count(first.low)} to {ENGLISH.count(first.high)}"
    assert gpus.figure == ENGLISH.number(plan.gpus(first.load))
    assert f"{plan.idle(first.load):.0%} of their time idle" in gpus.small
    assert day.figure == ENGLISH.short_money(plan.cost(first.load), "USD")
    assert "$30,000.00 a month of it for people" in day.small
    assert own.figure == ENGLISH.money(plan.per_million(1.0), "USD")
    assert api.figure == ENGLISH.money(0.06, "USD")
    alone = plan_breakeven(replace(REQUEST, staff=0.0))
    (head,) = [section for section in sections(alone, ENGLISH) if isinstance(section, Figures)]
    assert head.items[3].small == ""


def test_each_api_has_its_verdict_and_what_it_depends_on(plan: BreakevenPlan) -> None:
    dear, cheap, listed = table(plan, "Against each API")
    crossing = plan.crossings[0]
    assert dear[1:] == [
        "–",
        ENGLISH.money(0.06, "USD"),
        f"from {ENGLISH.count(crossing.load)} tokens a day on",
        ENGLISH.count(crossing.first),
        f"{ENGLISH.count(crossing.low)} to {ENGLISH.count(crossing.high)}",
        ENGLISH.percent(plan.per_million(1.0) / 0.06, ",.0f"),
    ]
    assert cheap[3:] == ["never, up to 10.0 T tokens a day", "–", "never up to there", "not at any"]
    assert listed[1] != "–"
    moved = {(row[0], row[1]) for row in table(plan, "What it depends on: tokens a day")}
    assert ("speed of the fleet", crossing.api.name) in moved
    assert ("price of a GPU-hour", crossing.api.name) not in moved, "a price that is given has no range"


def test_load_by_load_the_fleet_costs_what_the_plan_says(plan: BreakevenPlan) -> None:
    rows = table(plan, "Load by load")
    assert len(rows) == 9
    assert [int(row[1].replace(",", "")) for row in rows] == sorted(int(row[1].replace(",", "")) for row in rows)
    last = rows[-1]
    most = 50 * max(x for crossing in plan.crossings for x in (crossing.load, crossing.high) if x is not None)
    assert last[0] == ENGLISH.count(most)
    assert last[4] == ENGLISH.short_money(plan.cost(most), "USD")
    low, high = plan.cost_range(most)
    assert last[5] == f"{ENGLISH.short_money(low, 'USD')} – {ENGLISH.short_money(high, 'USD')}"
    assert last[6] == ENGLISH.short_money(most * 0.06 / 1e6, "USD")
    used = {row[0]: row[1] for row in table(plan, "By how much of a fleet is used")}
    assert used[ENGLISH.percent(1.0, ",.0f")] == ENGLISH.money(plan.per_million(1.0), "USD")
    assert used[ENGLISH.percent(0.2, ",.0f")] == ENGLISH.money(5 * plan.per_million(1.0), "USD")


def test_a_day_and_a_million_are_drawn_from_one_plan(plan: BreakevenPlan) -> None:
    million, day = [section for section in sections(plan, ENGLISH) if isinstance(section, LineChart)]
    for chart in (million, day):
        assert (chart.log_x, chart.log_y) == (True, True)
        assert chart.marks == [(c.load, c.api.name) for c in plan.crossings if c.load is not None]
        assert [line.band is not None and len(line.band) > 0 for line in chart.lines] == [True, False, False, True]
    for (x, y), (same, price) in zip(day.lines[0].points, million.lines[0].points, strict=True):
        assert same == x
        assert y == pytest.approx(plan.cost(x))
        assert price == pytest.approx(plan.cost(x) / x * 1e6)
    for (x, y), (_, price) in zip(day.lines[1].points, million.lines[1].points, strict=True):
        assert (y, price) == (pytest.approx(x * 0.06 / 1e6), pytest.approx(0.06))
    always = plan_breakeven(replace(REQUEST, price="$0/h", staff=0.0))
    assert not any(section.marks for section in sections(always, ENGLISH) if isinstance(section, LineChart))


def test_what_is_assumed_is_what_was_not_said(plan: BreakevenPlan) -> None:
    def assumed(plan: BreakevenPlan) -> str:
        (notes,) = [one for one in sections(plan, ENGLISH) if isinstance(one, Notes) and one.title == "Assumptions"]
        return "\n".join(notes.lines)

    said = assumed(plan)
    assert "People who run the fleet: $30,000.00 a month" in said
    assert "No people are counted" not in said
    assert "Tokens come evenly over the week" in said
    assert "Weights in fp8 (assumption)" in said
    assert "Trace:" not in said
    told = assumed(plan_breakeven(replace(plan.request, staff=0.0, peak_share=0.3, precision="bf16")))
    assert "No people are counted" in told
    assert "evenly over the week" not in told
    assert "(assumption)" not in told


def test_a_rented_hour_has_the_range_of_its_offers_and_a_given_one_none() -> None:
    kind = chip("h100")
    rented = hour_of(replace(REQUEST, price=None), kind)
    middle = gpu_hour(kind, REQUEST.date, None).per_device_hour
    low, high = rent_range(kind)
    assert (rented.low, rented.high) == (min(low, middle), max(high, middle))
    assert rented.low < middle < rented.high
    assert f"${rented.low:,.2f} to ${rented.high:,.2f}" in rented.note
    given = hour_of(REQUEST, kind)
    assert (given.low, given.high) == (2.0, 2.0)


def test_causes_that_err_apart_add_as_squares() -> None:
    assert combined(10.0, [(5.0, 20.0)]) == pytest.approx((5.0, 20.0))
    low, high = combined(10.0, [(5.0, 20.0), (5.0, 20.0)])
    assert (low, high) == pytest.approx((10 / 2**2**0.5, 10 * 2**2**0.5))
