"""The yearly flows of a budget by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.plan.budget.made import BILLION, inputs, middle, plan

from centime.plan.budget.finance import HOURS_PER_YEAR, economic_value, npv, straight_line

VALUES = {name: value.mid for name, value in inputs(BILLION).items()}


def test_a_year_earns_tokens_and_training_less_power_and_upkeep() -> None:
    made = middle(BILLION)
    running = made.own.running_per_year * made.gpus
    assert made.own.running_per_year == pytest.approx(
        VALUES["kw"] * HOURS_PER_YEAR * VALUES["usd_per_kwh"]
        + VALUES["upkeep"] * (made.own.capex_it + made.own.capex_building)
    )
    sold = made.output_per_day * 365.25 / 1e6
    growth = VALUES["software"] * (1 - VALUES["token_price_falls"])
    for year, flow in enumerate(made.flows[1:-1]):
        tokens = sold * VALUES["token_revenue"] * growth**year
        training = made.train_hours * VALUES["rent"] * (1 - VALUES["rent_falls"]) ** year
        assert flow == pytest.approx(tokens + training - running)


def test_the_last_year_sells_what_is_left() -> None:
    made = middle(replace(BILLION, years=3))
    same = middle(replace(BILLION, years=4)).flows[3]
    it, building = made.own.capex_it, made.own.capex_building
    chips = economic_value(it, VALUES["rent_falls"], 0.1, VALUES["life_it"], 3)[-1]
    house = straight_line(building, VALUES["life_building"], 3)[-1]
    assert 0 < chips < it
    assert 0 < house < building
    assert made.flows[-1] - same == pytest.approx(made.gpus * (chips + house))


def test_chips_earn_for_the_part_of_a_year_that_they_live() -> None:
    whole = middle(replace(BILLION, years=9), life_it=5.0)
    half = middle(replace(BILLION, years=9), life_it=4.5)
    assert half.flows[5] == pytest.approx(whole.flows[5] / 2)
    assert half.flows[1:5] == whole.flows[1:5]
    assert half.flows[6] == 0


def test_rented_out_the_same_fleet_earns_its_rents() -> None:
    made = middle(BILLION)
    hours = made.gpus * HOURS_PER_YEAR * VALUES["availability"] * VALUES["rent_use"]
    kept = [made.gpus * (VALUES["rent"] * 0 - made.own.running_per_year)] * 5
    earned = [hours * VALUES["rent"] * (1 - VALUES["rent_falls"]) ** year + cost for year, cost in enumerate(kept)]
    rest = middle(replace(BILLION, train=0.0, serve=0.0)).flows[-1] - kept[-1]
    assert made.npv_rented_out == pytest.approx(npv(0.1, [-1e9, *earned[:-1], earned[-1] + rest]))


def test_a_million_tokens_cost_what_the_gpus_that_serve_cost() -> None:
    made = middle(BILLION)
    served = made.output_per_day * 365.25 / 1e6
    assert made.cost_per_m_output * served == pytest.approx(0.7 * made.own.per_year * made.gpus)
    assert made.input_per_day / made.output_per_day == pytest.approx(608 / 168)


def test_of_a_budget_that_is_not_all_for_ai_less_is_spent() -> None:
    made = middle(BILLION, ai_share=0.75)
    assert made.flows[0] == -0.75e9
    assert made.gpus == pytest.approx(0.75 * middle(BILLION).gpus)


def test_what_is_drawn_is_in_the_bands_and_no_assumption_is_a_source() -> None:
    made = plan(BILLION)
    assert set(made.bands) >= {"gpus", "megawatts", "npv_usd", "irr", "break_even_load", "train_gpu_hours_per_year"}
    for name in ("gpus", "megawatts", "train_gpu_hours_per_year", "output_tokens_per_day"):
        low, _, high = made.bands[name]
        assert low < made.to_json()[name] < high
    assert made.sources
    assert not [source for source in made.sources if source.startswith("assumption")]
