"""What a rented fleet costs, and what a cached token does."""

from __future__ import annotations

import pytest

from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import Demand, ServingRequest

DAY = 24.0


@pytest.mark.parametrize("gpus", [16, 64])
def test_a_rented_fleet_costs_its_gpus_around_the_clock(gpus: int) -> None:
    plan = plan_serving(
        ServingRequest("llama-3.1-70b", "h100", gpus=gpus, isl=4000, osl=1000, tpot_s=0.025, price="$2/h")
    )
    fleet = plan.fleet
    assert (fleet.gpus, fleet.cost_per_day) == (gpus, gpus * DAY * 2)
    assert fleet.idle == pytest.approx(1 - plan.gpus_mean / gpus)
    assert fleet.cost_per_month == pytest.approx(fleet.cost_per_day * 365.25 / 12)
    assert fleet.all_in_per_m_output * plan.demand.output_per_day == pytest.approx(fleet.cost_per_day * 1e6)
    assert fleet.cost_per_day > plan.money.cost_per_day


def test_for_a_demand_the_peak_is_rented() -> None:
    plan = plan_serving(
        ServingRequest("llama-3.1-8b", "h100", demand=Demand(1e9, 1e8, 0.0), price="$2/h", peak_to_mean=2.0)
    )
    assert plan.fleet.gpus == plan.gpus_peak
    assert plan.fleet.idle >= 0.5 - 1e-9


@pytest.mark.parametrize("isl", [1_000, 30_000, 120_000])
@pytest.mark.parametrize("hit", [0.1, 0.5, 0.95])
def test_a_cached_token_never_costs_more_than_a_new_one(isl: int, hit: float) -> None:
    plan = plan_serving(
        ServingRequest("deepseek-v3", "h200", gpus=64, isl=isl, osl=1000, hit=hit, ttft_s=120, price="$2/h")
    )
    money = plan.money
    assert 0 < money.hit_per_m <= money.miss_per_m * (1 + 1e-9)
    tokens = plan.demand.input_per_day * hit, plan.demand.input_per_day * (1 - hit), plan.demand.output_per_day
    costs = money.hit_per_m, money.miss_per_m, money.output_per_m
    assert sum(n * cost for n, cost in zip(tokens, costs, strict=True)) / 1e6 == pytest.approx(money.cost_per_day)
