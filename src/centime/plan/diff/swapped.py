"""Two serving plans or fleets side by side: each kind of input that differs is swapped, in every context of the others.

A coalition is a real plan: some inputs of A, the others of B, planned by the verb's own planner. Where one of them
cannot be planned (a layout that another chip does not hold), the causes are not told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from centime.catalogue.hourly_prices import how_old
from centime.errors import UserError
from centime.plan.diff.causes import TOGETHER, Change, Compared, Quantity, Values, split
from centime.plan.fleet.plan import FleetPlan
from centime.plan.fleet.plan import from_inputs as fleet_of
from centime.plan.serving.plan import ServingPlan, percentiles
from centime.plan.serving.planner import from_inputs as serving_of

Inputs = Mapping[str, Any]

# Cause -> the inputs of `plan serve` that are swapped together.
SERVING = {
    "model": ("model",),
    "chip": ("gpu",),
    "cluster": ("gpus",),
    "load": ("demand", "isl", "osl", "context", "hit", "peak_to_mean"),
    "limits": ("ttft_s", "tpot_s"),
    "precision": ("precision",),
    "layout": ("layout",),
    "software": ("mtp", "acceptance", "engine", "date"),
    "price": ("price", "prices", "market", "price_region"),
}
SAY_THEMSELVES = {"model", "gpu", "gpus", "precision", "layout", "price"}  # whose values need no name
SHOWN = 3  # inputs of a cause that are named


def compare_serving(a: Inputs, b: Inputs) -> Compared:
    """The inputs of two plans of `plan serve`. A demand on both sides costs so much a day; else the cost is that of a
    million output tokens. Raises UserError for what cannot be planned, or other currencies."""
    before, after = serving_of(dict(a)), serving_of(dict(b))
    currency = _one(before.price.currency, after.price.currency)
    by_day = before.request.demand is not None and after.request.demand is not None
    cost = "Cost a day" if by_day else "Cost per million output tokens"

    def values(plan: ServingPlan) -> Values:
        money = plan.money.cost_per_day if by_day else plan.money.all_in_per_m_output
        return {cost: money, "GPUs at the peak": float(plan.request.gpus or plan.gpus_peak)}

    units = {cost: currency, "GPUs at the peak": ""}
    more: list[tuple[str, str, Callable[[ServingPlan], float]]] = [
        ("Rent of the fleet a month", currency, lambda plan: plan.fleet.cost_per_month),
        ("Output tokens a second and GPU", "", lambda plan: plan.output_rate),
        ("Time per token", "ms", lambda plan: 1e3 * _median(plan, "tpot")),
        ("Time to first token", "s", lambda plan: _median(plan, "ttft")),
    ]
    quantities = [Quantity(name, units[name], values(before)[name], values(after)[name]) for name in units]
    quantities[0] = quantities[0]._replace(
        intervals=(_spread(before, quantities[0].a), _spread(after, quantities[0].b))
    )
    quantities += [Quantity(name, unit, of(before), of(after)) for name, unit, of in more]
    resolved = before.inputs(), after.inputs()
    causes, notes = _swapped(resolved[0], resolved[1], SERVING, lambda inputs: values(serving_of(inputs)))
    notes += list(dict.fromkeys(plan.price.sentence() for plan in (before, after)))
    notes += how_old([before.price, after.price])
    return Compared(quantities, causes, currency, notes)


def _spread(plan: ServingPlan, cost: float) -> tuple[float, float]:
    """80 % of a cost that is so much higher as throughput is lower."""
    return cost / plan.high_factor, cost / plan.low_factor


def compare_fleets(a: Inputs, b: Inputs) -> Compared:
    """The inputs of two plans of `plan fleet`: the median cost over all months, and what stands at their end.

    A cause is a table of the scenario. Raises UserError for what cannot be planned, or other currencies.
    """
    before, after = fleet_of(dict(a)), fleet_of(dict(b))
    currency = _one(before.scenario.money.currency, after.scenario.money.currency)
    units = {"Cost over all months": currency, "GPUs at the end": "", "Power at the end": "MW"}

    def values(plan: FleetPlan) -> Values:
        ends = (plan.totals["cost"][1], plan.series["gpus_needed"].mid[-1], plan.series["megawatts"].mid[-1])
        return dict(zip(units, ends, strict=True))

    quantities = [Quantity(name, units[name], values(before)[name], values(after)[name]) for name in units]
    low, high = ([plan.totals["cost"][end] for plan in (before, after)] for end in (0, 2))
    quantities[0] = quantities[0]._replace(intervals=((low[0], high[0]), (low[1], high[1])))
    flat = [{**inputs["scenario"], "seed": inputs["seed"], "draws": inputs["draws"]} for inputs in (a, b)]
    tables = {key: (key,) for key in dict.fromkeys([*flat[0], *flat[1]]) if key not in ("name", "description")}

    def of(mixed: Inputs) -> Values:
        scenario = {key: value for key, value in mixed.items() if key not in ("seed", "draws")}
        return values(fleet_of({"scenario": scenario, "seed": mixed["seed"], "draws": mixed["draws"]}))

    causes, notes = _swapped(flat[0], flat[1], tables, of)
    return Compared(quantities, causes, currency, notes)


def _swapped(
    a: Inputs, b: Inputs, causes: Mapping[str, Iterable[str]], of: Callable[[dict[str, Any]], Values]
) -> tuple[list[Change], list[str]]:
    """The causes in which the inputs differ, each with its share of every quantity, and what is to be said of them."""
    differing = [name for name, keys in causes.items() if any(a.get(key) != b.get(key) for key in keys)]

    def values(from_b: frozenset[str]) -> Values:
        mixed = dict(a)
        for name in from_b:
            mixed |= {key: b.get(key) for key in causes[name]}
        return of(mixed)

    notes: list[str] = []
    groups = {name: tuple(causes[name]) for name in differing}
    try:
        shares = split(differing, values)
    except UserError:
        first, last = values(frozenset()), values(frozenset(differing))
        shares = {"all together": {key: last[key] - first[key] for key in first}}
        groups = {"all together": tuple(key for name in differing for key in causes[name])}
        notes.append(TOGETHER)
    found = [
        Change(name, _described(a, b, keys), _described(b, a, keys), shares[name]) for name, keys in groups.items()
    ]
    return found, notes


def _described(side: Inputs, other: Inputs, keys: Iterable[str]) -> str:
    """'tpot_s = 0.05': the inputs of a cause that differ, as far as they fit in a cell."""
    found = []
    for key in keys:
        found += _leaves(side.get(key), other.get(key), key)
    more = "" if len(found) <= SHOWN else f", +{len(found) - SHOWN}"
    return ", ".join(found[:SHOWN]) + more


def _leaves(value: Any, other: Any, path: str) -> list[str]:
    if value == other:
        return []
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        out = []
        for key in value:
            if key != "source":
                out += _leaves(value[key], other.get(key), key if key != "mid" else path.rpartition(".")[2])
        return out
    if isinstance(value, Mapping):  # all of it is new: its middle, where it is a number
        value = value.get("mid", "…")
    if isinstance(value, float):
        value = f"{value:g}"
    written = "–" if value is None else "…" if isinstance(value, list) else str(value)
    return [written if path in SAY_THEMSELVES else f"{path} = {written}"]


def _one(a: str, b: str) -> str:
    if a != b:
        raise UserError(f"A is priced in {a} and B in {b}; give both prices in one currency.")
    return a


def _median(plan: ServingPlan, which: str) -> float:
    return percentiles(plan, which)["p50"]
