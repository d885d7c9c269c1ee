"""A fleet through the months, for all draws at once: demand, need, orders, arrivals, failures, power and money.

Arrays are [draws, months]; generations are [draws, generations]. Needs are counted in first-generation GPUs ("units of
the first generation") until the fleet that meets them is known, then in GPUs as bought. No draw knows its own future:
orders follow the present need and the growth of the median path over the lead time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from centime.plan.fleet.demand import DAYS_PER_MONTH, DayShape
from centime.plan.fleet.orders import Fleet
from centime.plan.fleet.paths import (
    Draw,
    Hardware,
    demand_path,
    departure,
    hour_prices,
    load_in_gpus,
    speed_paths,
    token_cost_index,
    whole_nodes,
)
from centime.plan.fleet.scenario import FleetScenario

HOURS_PER_MONTH = DAYS_PER_MONTH * 24


@dataclass(frozen=True)
class Simulation:
    """What came out, each [draws, months]: what is reported, by the names of `fleet.plan.SERIES`, and the tokens per
    GPU of the best generation over the first month's."""

    series: dict[str, Any]
    efficiency: Any


def simulate(
    scenario: FleetScenario, hardware: list[Hardware], draw: Draw, middle: Draw, middle_hardware: list[Hardware]
) -> Simulation:
    """Runs the months. `draw` gives [draws] values, `middle` the same numbers at their medians, as [1] arrays."""
    months = scenario.months
    lead = np.rint(draw("supply.lead_time_months")).astype(int)
    horizon = months + int(lead.max()) + 1
    shape = DayShape(tuple(scenario.demand.hourly), scenario.serving.headroom.mid)

    software, falls = speed_paths(draw, months)
    prices = hour_prices(hardware, falls)
    index = token_cost_index(hardware, prices, software)
    mid_software, mid_falls = speed_paths(middle, horizon)
    mid_index = token_cost_index(middle_hardware, hour_prices(middle_hardware, mid_falls), mid_software)

    answer = -draw("elasticity.price_elasticity")[:, None] * draw("elasticity.pass_through")[:, None]
    mid_answer = -middle("elasticity.price_elasticity") * middle("elasticity.pass_through")
    already = scenario.demand.growth_kind == "observed"
    relative = departure(scenario, index, mid_index[:, :months]) if already else index
    demand = demand_path(scenario, draw, months) * relative**answer
    mid_demand = demand_path(scenario, middle, horizon)[0] * (1.0 if already else mid_index[0] ** mid_answer)

    # GPUs of the first generation, busiest hour, without spares
    rate = shape.peak_nodes(1.0, scenario.serving.rates_at)
    base = load_in_gpus(scenario, draw)[:, None] * demand * rate
    mid_need = mid_demand / mid_software[0]
    out = draw("failures.failures_per_gpu_year") * draw("failures.repair_days") / 365.0  # share that is being repaired
    spare = _spares(base / software, out[:, None])
    need = base / software + spare

    state = Fleet(scenario, hardware, draw, lead, months)
    start = draw("start_gpus") if scenario.start_gpus is not None else whole_nodes(need[:, 0], scenario)
    state.begin(start, need[:, 0], mid_need)
    rows: dict[str, list[Any]] = {k: [] for k in ("owned", "ordered", "equivalents", "kw", "rent", "capex", "upkeep")}
    for month in range(months):
        ratio = mid_need[month + lead] / mid_need[month]
        ordered = state.step(month, need[:, month], need[:, month] * ratio)
        rows["owned"].append(state.count.sum(axis=1))
        rows["ordered"].append(ordered)
        rows["equivalents"].append((state.count * state.speed).sum(axis=1))
        rows["kw"].append((state.count * state.kw).sum(axis=1))
        rows["rent"].append((state.count * prices[:, :, month].T).sum(axis=1))
        rows["capex"].append(state.paid(month, falls))
        rows["upkeep"].append((state.count * state.capex).sum(axis=1))
    table = {key: np.stack(values, axis=1) for key, values in rows.items()}
    path = _Path(demand, index, software, base / software, spare)
    return _summary(scenario, shape, draw, path, table, hardware)


@dataclass(frozen=True)
class _Path:
    """What the fleet meets, each [draws, months]: demand, a token's cost and software's speed over the first month's;
    GPUs of the first generation that work in the busiest hour, and spares beyond them."""

    demand: Any
    index: Any
    software: Any
    load: Any
    spare: Any


def _summary(
    scenario: FleetScenario,
    shape: DayShape,
    draw: Draw,
    path: _Path,
    table: Mapping[str, Any],
    hardware: list[Hardware],
) -> Simulation:
    """From the fleet's months to GPUs as bought, power and money."""
    load, spare, need = path.load, path.spare, path.load + path.spare
    owned, equivalents = table["owned"], np.maximum(table["equivalents"], 1e-9)
    speed = np.where(owned > 0, equivalents / np.maximum(owned, 1e-9), 1.0)  # of the fleet's average GPU
    needed = whole_nodes(need / speed, scenario)
    working = np.maximum(equivalents - spare, 0.0)
    unserved = shape.unserved(working / np.maximum(load, 1e-9) * shape.peak)
    busy = np.minimum(load / speed, owned) * shape.occupancy
    paid = (busy + spare / speed) if scenario.serving.night_reuse else owned
    free = (
        np.maximum(owned - spare / speed - busy, 0.0) * HOURS_PER_MONTH if scenario.serving.night_reuse else 0 * owned
    )
    facility = table["kw"]
    power = facility * HOURS_PER_MONTH * draw("power.usd_per_kwh")[:, None]
    if scenario.money.mode == "rent":
        cost, capex = table["rent"] / np.maximum(owned, 1e-9) * paid * HOURS_PER_MONTH, 0 * owned
    else:
        cost = power + table["upkeep"] * draw("money.upkeep_per_year")[:, None] / 12
        capex = table["capex"]
    best = np.stack([np.where(np.arange(scenario.months) >= g.first, g.speed[:, None], 0.0) for g in hardware]).max(
        axis=0
    )
    per_day = draw("demand.input_tokens_per_day") + draw("demand.output_tokens_per_day")
    output = draw("demand.output_tokens_per_day")[:, None] * path.demand
    series = {
        "tokens_per_day": per_day[:, None] * path.demand,
        "gpus_needed": needed,  # in the busiest hour, spares included
        "gpus_serving": busy,  # mean over a day
        "gpus_owned": owned,  # in service, rented or owned
        "gpus_ordered": table["ordered"],
        "shortfall_gpus": np.maximum(need / speed - owned, 0.0),  # in the busiest hour
        "unserved_share": unserved,  # of tokens
        "training_gpu_hours": free,  # a month, that the night leaves to training
        "megawatts": facility / 1000,
        "cost": cost,  # a month: rent, or power and upkeep
        "capex": capex,
        "cost_per_m_output": cost / np.maximum(output * (1 - unserved) * DAYS_PER_MONTH / 1e6, 1e-12),
        "token_cost_index": path.index,
    }
    return Simulation(series, path.software * best)


def _spares(working: Any, out: Any) -> Any:
    """GPUs beyond the working ones so that with 99 % probability enough work: the mean number in repair of a Poisson
    process, and 2.33 standard deviations."""
    mean = working * out / np.maximum(1e-9, 1 - out)
    return mean + 2.33 * np.sqrt(mean)
