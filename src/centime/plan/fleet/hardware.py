"""Fills what a scenario leaves out (rates, prices, power, purchase) from the planner and the catalogue, and says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from centime.catalogue.chips import Chip, chip
from centime.catalogue.export_rules import sale_windows
from centime.catalogue.hourly_prices import gpu_hour, how_old, rent_range
from centime.catalogue.prices import Price, day
from centime.messages import Said, said
from centime.plan.fleet.build_cost import BUILDING_USD_PER_KW, build_cost, facility_kw
from centime.plan.fleet.paths import Draw, Hardware
from centime.plan.fleet.productivity import relative_speed, scenario_rates
from centime.plan.fleet.scenario import FleetScenario
from centime.plan.fleet.scenario_file import replaced
from centime.plan.fleet.uncertain import Uncertain

ALWAYS, NEVER = -(10**6), 10**6  # a month before all others, and one after them


def resolve(scenario: FleetScenario) -> tuple[FleetScenario, list[Said]]:
    """The scenario with every number stated, and a sentence for each that was filled in."""
    said_of: list[Said] = []
    prices: list[tuple[Chip, Price]] = []
    changes: dict[str, Any] = {}
    first = chip(scenario.serving.chip)
    if scenario.serving.input_tokens_per_s_per_gpu is None or scenario.serving.output_tokens_per_s_per_gpu is None:
        rates = scenario_rates(scenario)
        if scenario.serving.input_tokens_per_s_per_gpu is None:
            changes["serving.input_tokens_per_s_per_gpu"] = rates.prefill.model_dump()
        if scenario.serving.output_tokens_per_s_per_gpu is None:
            changes["serving.output_tokens_per_s_per_gpu"] = rates.decode.model_dump()
        changes["serving.rates_at"] = "mean"
        said_of.append(rates.note)
    if scenario.power.it_kw_per_gpu is None:
        kw, note = facility_kw(first)
        changes["power.it_kw_per_gpu"] = _number(kw / scenario.power.pue.mid, "catalogue: chips.csv, power_kw_all_in")
        said_of.append(note)
    if scenario.money.gpu_hour is None:
        changes["money.gpu_hour"], price = _hour(first, scenario.start)
        prices.append((first, price))
    if scenario.money.mode == "own" and scenario.money.capex_per_gpu is None:
        changes["money.capex_per_gpu"], note = _capex(first)
        said_of.append(note)
    for index, generation in enumerate(scenario.generations):
        later = chip(generation.chip)
        if generation.speed is None:
            speed, note = relative_speed(scenario, generation.chip)
            changes[f"generations.{index}.speed"] = speed.model_dump()
            said_of.append(note)
        if generation.gpu_hour is None:
            changes[f"generations.{index}.gpu_hour"], price = _hour(later, generation.available)
            prices.append((later, price))
        if scenario.money.mode == "own" and generation.capex_per_gpu is None:
            changes[f"generations.{index}.capex_per_gpu"], note = _capex(later)
            said_of.append(note)
    said_of += (said("{chip}: {price}", chip=bought.name, price=price.sentence()) for bought, price in prices)
    return replaced(scenario, changes), [*said_of, *how_old(price for _, price in prices)]


def hardware(scenario: FleetScenario, draw: Draw) -> list[Hardware]:
    """The generations of a resolved scenario; the first is `serving.chip`, with which every speed is compared."""
    own = scenario.money.mode == "own"
    one = np.ones_like(draw("money.gpu_hour"))
    first = chip(scenario.serving.chip)
    spans = _spans(scenario, first, ALWAYS, NEVER)
    kw = draw("power.it_kw_per_gpu") * draw("power.pue")
    found = [
        Hardware(
            first.name, ALWAYS, spans, one, draw("money.gpu_hour"),
            draw("money.capex_per_gpu") if own else 0 * one, kw, first.memory_gb or 0.0,
        )
    ]  # fmt: skip
    for index, generation in enumerate(scenario.generations):
        later, path = chip(generation.chip), f"generations.{index}"
        last = scenario.index(generation.until) if generation.until else NEVER
        spans = _spans(scenario, later, scenario.index(generation.available), last)
        found.append(
            Hardware(
                later.name, spans[0][0] if spans else NEVER, spans, draw(f"{path}.speed"), draw(f"{path}.gpu_hour"),
                draw(f"{path}.capex_per_gpu") if own else 0 * one,
                facility_kw(later)[0] * draw("power.pue") / scenario.power.pue.mid, later.memory_gb or 0.0,
            )
        )  # fmt: skip
    return found


def _spans(scenario: FleetScenario, bought: Chip, first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Months in which the chip may be ordered for the scenario's region, within first and last."""
    if scenario.supply.region == "any":
        return ((first, last),)
    found = []
    for start, end in sale_windows(bought, scenario.supply.region):
        begins = ALWAYS if start is None else _index(scenario, start)
        ends = NEVER if end is None else _index(scenario, end) - 1
        if max(first, begins) <= min(last, ends):
            found.append((max(first, begins), min(last, ends)))
    return tuple(found)


def _index(scenario: FleetScenario, date: str) -> int:
    """The month of '2025', '2025-04' or '2025-04-09'."""
    return scenario.index(day(date).isoformat()[:7])


def _hour(bought: Chip, date: str) -> tuple[dict[str, Any], Price]:
    """The catalogue's price of a GPU-hour, with the spread of its offers where that contains the price."""
    price, offers = gpu_hour(bought, date), rent_range(bought)
    mid = price.per_device_hour
    if offers and offers[0] <= mid <= offers[1]:
        return Uncertain(low=offers[0], mid=mid, high=offers[1], source=price.source).model_dump(), price
    return _number(mid, price.source), price


def _capex(bought: Chip) -> tuple[dict[str, Any], Said]:
    """All-in purchase per GPU, with the spread of the building's cost."""
    low, mid, high = (build_cost(bought, usd_per_kw=usd).total for usd in BUILDING_USD_PER_KW.three)
    note = said("{chip} costs ${usd:,.0f} all-in: price, server and network, {kw:.2f} kW of building",
                chip=bought.name, usd=mid, kw=facility_kw(bought)[0])  # fmt: skip
    return Uncertain(low=low, mid=mid, high=high, source=BUILDING_USD_PER_KW.source).model_dump(), note


def _number(value: float, source: str) -> dict[str, Any]:
    return Uncertain(mid=value, source=source).model_dump()
