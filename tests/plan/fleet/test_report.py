"""What a fleet's plan shows and what is filled in for it: figures of its first and last month, prices, what stands
around a chip."""

from __future__ import annotations

import pytest
from tests.plan.fleet.small import SMALL, fixed, plan

from centime.catalogue.chips import chip
from centime.plan.fleet.build_cost import build_cost
from centime.plan.fleet.hardware import resolve
from centime.plan.fleet.plan import FleetPlan
from centime.plan.fleet.report import sections
from centime.plan.fleet.scenario_file import parse
from centime.plan.show.language import writer
from centime.plan.show.sections import Figure, Figures

ENGLISH = writer("en")


def headlines(made: FleetPlan) -> list[Figure]:
    head = sections(made, ENGLISH)[0]
    assert isinstance(head, Figures)
    return list(head.items)


def test_the_first_month_is_told_and_the_last_where_it_is_another() -> None:
    made = plan()
    nodes, serving, day, million, needed, power, spent = headlines(made)
    series = made.series
    assert nodes.figure == ENGLISH.count(series["gpus_needed"].mid[0] / 8)
    assert serving.figure == ENGLISH.number(series["gpus_serving"].mid[0] / 8, ",.2f")
    assert day.figure == ENGLISH.money(series["cost"].mid[0] / (365.25 / 12), "USD")
    assert million.figure == ENGLISH.money(series["cost_per_m_output"].mid[0], "USD")
    assert needed.label == "GPUs needed, 2027-12"
    assert needed.figure == ENGLISH.count(series["gpus_needed"].mid[-1])
    low, high = (ENGLISH.count(getattr(series["gpus_needed"], end)[-1]) for end in ("low", "high"))
    assert needed.small == f"80 %: {low} to {high}"
    assert power.figure == ENGLISH.watts(series["megawatts"].mid[-1] * 1e6)
    assert spent.figure == ENGLISH.short_money(made.totals["cost"][1] + made.totals["capex"][1], "USD")
    assert len(headlines(fixed(months=1))) == 4


def test_a_price_that_is_filled_in_is_said_with_its_chip() -> None:
    open_ = parse(SMALL.replace("gpu_hour = 3\n", ""), "small")
    filled, said = resolve(open_)
    assert filled.money.gpu_hour is not None
    price, age = said
    assert price.startswith(f"{chip('h200').name}: ${filled.money.gpu_hour.mid:.2f} per device-hour (catalogue")
    assert "Prices here are up to" in age
    assert resolve(parse(SMALL, "small"))[1] == []


def test_what_stands_around_a_chip_is_bernsteins_split_and_around_a_rack_what_it_adds_to_its_price() -> None:
    """GPUs 39 % and network 13 % of $5.9 M, of which $3.4 M are IT; an NVL72 rack is sold at $3.1 M."""
    h100 = build_cost(chip("h100"), price=30_000.0)
    beside = (3.4 / 5.9 - 0.39 - 0.13) / 0.39
    assert h100.rest_of_it == pytest.approx(30_000 * beside + 4_390)
    assert h100.total == pytest.approx(30_000 + h100.rest_of_it + h100.kw * 2.5e6 / (1e6 * 5.9e6 / 35e9), rel=1e-4)
    gb200 = build_cost(chip("gb200"), price=43_000.0)
    assert gb200.rest_of_it == pytest.approx(43_000 * (3.4 / 3.1 - 1))
