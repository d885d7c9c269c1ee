"""A small scenario that states its own rates, and plans of it."""

from __future__ import annotations

from typing import Any

from centime.plan.fleet.plan import FleetPlan, plan_fleet
from centime.plan.fleet.scenario import FleetScenario
from centime.plan.fleet.scenario_file import parse, replaced

SMALL = """
name = "small"
start = "2026-01"
months = 24
[demand]
input_tokens_per_day = "10B"
output_tokens_per_day = "2B"
growth_per_year = {low = 1.5, mid = 2, high = 4}
hourly = [1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 4, 3, 2, 2, 1, 1, 1]
[serving]
model = "deepseek-v3"
chip = "h200"
input_tokens_per_s_per_gpu = 8000
output_tokens_per_s_per_gpu = 1500
headroom = 0.2
[efficiency]
software_per_year = {low = 1.1, mid = 1.5, high = 2}
[elasticity]
price_elasticity = {low = 0, mid = 0.5, high = 1}
[failures]
failures_per_gpu_year = 0.1
repair_days = 3
[power]
it_kw_per_gpu = 1.4
[money]
price_date = "2026-01-01"
gpu_hour = 3
price_falls_per_year = 0.1
"""


def small(**changes: Any) -> FleetScenario:
    """The small scenario with 'section__key' values set."""
    return replaced(parse(SMALL, "small"), {path.replace("__", "."): value for path, value in changes.items()})


def plan(draws: int = 40, **changes: Any) -> FleetPlan:
    return plan_fleet(small(**changes), draws=draws, seed=3)


def fixed(**changes: Any) -> FleetPlan:
    """One future without uncertainty."""
    sure = {"demand__growth_per_year": 2, "efficiency__software_per_year": 1.5, "elasticity__price_elasticity": 0.5}
    return plan(draws=1, **(sure | changes))
