"""The paths that a fleet follows, month by month: demand, software, prices, and what they make of a token's cost.

Arrays are [draws, months], 1 in the first month where they are relative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from centime.plan.fleet.demand import growth, interpolate
from centime.plan.fleet.scenario import FleetScenario
from centime.units import SECONDS_PER_DAY

Draw = Callable[[str], Any]  # the draws [draws] of the scenario's number at a path


@dataclass(frozen=True)
class Hardware:
    """One generation as the simulation needs it; arrays are [draws]."""

    chip: str
    first: int  # month of the first order, may be negative
    spans: tuple[tuple[int, int], ...]  # (first, last) months of orders
    speed: Any  # tokens/s per GPU over the first generation's
    gpu_hour: Any  # at the scenario's start (or when it arrives, if later)
    capex: Any  # all-in, per GPU, likewise
    kw: Any  # facility power per GPU
    memory_gb: float

    def open(self, month: int) -> bool:
        """Whether it can be ordered in that month."""
        return any(first <= month <= last for first, last in self.spans)


def load_in_gpus(scenario: FleetScenario, draw: Draw) -> Any:
    """GPUs of the first generation that a flat load of the first month keeps busy at their rated speed [draws]."""
    hit = scenario.demand.cache_hit_share
    misses = (1 - draw("demand.cache_hit_share")) / max(1e-9, 1 - hit.mid)
    prefill = (
        draw("demand.input_tokens_per_day") / SECONDS_PER_DAY / draw("serving.input_tokens_per_s_per_gpu") * misses
    )
    decode = draw("demand.output_tokens_per_day") / SECONDS_PER_DAY / draw("serving.output_tokens_per_s_per_gpu")
    return (prefill + decode) / draw("serving.utilisation_limit")


def demand_path(scenario: FleetScenario, draw: Draw, months: int) -> Any:
    """Demand over the first month's at the price path's median, or at constant price [draws, months]."""
    grown = growth(months, draw("demand.growth_per_year"), draw("demand.growth_fades_per_year"))
    points = [(float(scenario.index(p.month)), p.tokens_per_day.mid) for p in scenario.demand.observed]
    if not points:
        return grown
    known = interpolate(points, np.arange(months))
    beyond = np.maximum(0, np.arange(months) - max(0, int(points[-1][0])))
    return known / known[0] * grown[:, beyond]


def speed_paths(draw: Draw, months: int) -> tuple[Any, Any]:
    """(software gain [draws, months], price index of a GPU-hour [draws, months]), both 1 in the first month."""
    years = np.arange(months) / 12.0
    software = draw("efficiency.software_per_year")[:, None] ** years
    falls = (1 - draw("money.price_falls_per_year"))[:, None] ** years
    return software, falls


def hour_prices(hardware: list[Hardware], falls: Any) -> Any:
    """Price of a GPU-hour [generations, draws, months]: each falls from its arrival, the first from month 0."""
    months = falls.shape[1]
    return np.stack(
        [g.gpu_hour[:, None] * falls[:, np.maximum(0, np.arange(months) - max(0, g.first))] for g in hardware]
    )


def token_cost_index(hardware: list[Hardware], prices: Any, software: Any) -> Any:
    """Cost of a token on the cheapest generation that can be had, over the first month's [draws, months]."""
    months = software.shape[1]
    cost = np.stack([p / g.speed[:, None] for g, p in zip(hardware, prices, strict=True)])
    for index, g in enumerate(hardware):
        cost[index, :, : max(0, min(g.first, months))] = np.inf
    cheapest = np.minimum.accumulate(cost.min(axis=0), axis=1) / software
    return cheapest / cheapest[:, :1]


def departure(scenario: FleetScenario, index: Any, mid_index: Any) -> Any:
    """Cost of a token over that of the median path, from the last published demand on; 1 before it [draws, months]."""
    known = max([0, *(scenario.index(point.month) for point in scenario.demand.observed)])
    if known >= index.shape[1]:
        return index / index
    relative = index / mid_index / (index[:, known] / mid_index[:, known])[:, None]
    relative[:, :known] = 1.0
    return relative


def whole_nodes(gpus: Any, scenario: FleetScenario) -> Any:
    """Up to whole nodes."""
    node = scenario.serving.gpus_per_node
    return np.ceil(gpus / node - 1e-9) * node
