"""`centime plan fleet`: from demand over years to GPUs, power and money by month, with percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from centime.errors import UserError
from centime.messages import said
from centime.plan.fleet.demand import DAYS_PER_MONTH, DayShape, rebound
from centime.plan.fleet.hardware import hardware, resolve
from centime.plan.fleet.scenario import NOT_MODELLED, FleetScenario
from centime.plan.fleet.scenario_file import load, replaced, validated
from centime.plan.fleet.simulation import simulate
from centime.plan.fleet.uncertain import PERCENTILES, three_of
from centime.plan.typed_inputs import typed

DRAWS_MOST = 20_000
NOTICEABLE = 0.02  # share of published demand unserved that is worth a sentence
SERIES = {  # what is reported by month, and its unit
    "tokens_per_day": "tokens/day",
    "gpus_needed": "GPUs",
    "gpus_serving": "GPUs",
    "gpus_owned": "GPUs",
    "gpus_ordered": "GPUs",
    "shortfall_gpus": "GPUs",
    "unserved_share": "share",
    "training_gpu_hours": "GPU-hours",
    "megawatts": "MW",
    "cost": "currency/month",
    "capex": "currency/month",
    "cost_per_m_output": "currency/M tokens",
    "token_cost_index": "of the first month",
}


@dataclass(frozen=True)
class Band:
    """A quantity month by month: 10th percentile, median, 90th percentile."""

    low: tuple[float, ...]
    mid: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Jevons:
    """Whether cheaper means more GPUs."""

    threshold: float | None  # price elasticity from which on efficiency means more GPUs; None: no price ever falls
    share_above: float  # of the draws
    gpus_ratio: tuple[float, float, float]  # GPUs at the end, with the efficiency gains over without, p10 p50 p90
    rebound: tuple[float, float, float]  # share of the technical saving that new demand eats
    efficiency: tuple[float, float, float]  # tokens per GPU at the end over the start


@dataclass(frozen=True)
class FleetPlan:
    """What a scenario comes to. `scenario` is resolved: every number is stated."""

    verb: ClassVar[str] = "fleet"
    scenario: FleetScenario
    seed: int
    draws: int
    series: Mapping[str, Band]
    day: tuple[float, ...]  # GPUs that serve in each hour of the first month's mean day, median
    jevons: Jevons
    totals: Mapping[str, tuple[float, float, float]]  # over all months: cost, capex, training_gpu_hours
    drives: Sequence[tuple[str, float]]  # rank correlation of each input with the last month's GPUs, strongest first
    assumptions: Sequence[str]
    sources: Sequence[str]

    def inputs(self) -> dict[str, Any]:
        """The JSON values that `from_inputs` makes the plan of again: resolved scenario, seed and number of draws."""
        return {"scenario": self.scenario.model_dump(mode="json"), "seed": self.seed, "draws": self.draws}

    def to_json(self) -> dict[str, Any]:
        """Documented in docs/plan-fleet.md. Every [a, b, c] is the 10th percentile, the median, the 90th."""
        months = [self.scenario.month(index) for index in range(self.scenario.months)]
        first = {key: (band.low[0], band.mid[0], band.high[0]) for key, band in self.series.items()}
        last = {key: (band.low[-1], band.mid[-1], band.high[-1]) for key, band in self.series.items()}
        return {
            "scenario": self.scenario.name,
            "currency": self.scenario.money.currency,
            "price_date": self.scenario.money.price_date,
            "gpus_peak_start": first["gpus_needed"][1],
            "gpus_mean_start": first["gpus_serving"][1],
            "nodes_peak_start": first["gpus_needed"][1] / self.scenario.serving.gpus_per_node,
            "nodes_mean_start": first["gpus_serving"][1] / self.scenario.serving.gpus_per_node,
            "cost_per_day_start": first["cost"][1] / DAYS_PER_MONTH,
            "gpus_needed_end": last["gpus_needed"][1],
            "megawatts_end": last["megawatts"][1],
            "months": [
                {"month": month} | {key: [band.low[i], band.mid[i], band.high[i]] for key, band in self.series.items()}
                for i, month in enumerate(months)
            ],
            "units": dict(SERIES),
            "hours": [{"hour": hour, "gpus_serving": gpus} for hour, gpus in enumerate(self.day)],
            "jevons": {
                "threshold_elasticity": self.jevons.threshold,
                "share_of_draws_above": self.jevons.share_above,
                "gpus_with_gains_over_without": list(self.jevons.gpus_ratio),
                "rebound_share": list(self.jevons.rebound),
                "efficiency_end_over_start": list(self.jevons.efficiency),
            },
            "totals": {key: list(value) for key, value in self.totals.items()},
            "drives": [{"input": name, "rank_correlation": value} for name, value in self.drives],
            "seed": self.seed,
            "draws": self.draws,
            "assumptions": [str(text) for text in self.assumptions],
            "sources": list(self.sources),
        }


def plan_fleet(
    scenario: FleetScenario | str, *, years: float | None = None, seed: int = 0, draws: int = 1000
) -> FleetPlan:
    """The plan of a scenario, of a TOML file, or of a shipped scenario by its name.

    Raises UserError on a scenario that cannot be read or resolved, and on years, seed or draws out of range.
    """
    if not 1 <= draws <= DRAWS_MOST:
        raise UserError(f"--draws {draws} is not between 1 and {DRAWS_MOST}.")
    if seed < 0:
        raise UserError(f"--seed {seed} is negative; give 0 or more.")
    given = load(scenario) if isinstance(scenario, str) else scenario
    if years is not None:
        if not 0 < years <= 20:
            raise UserError(f"--years {years:g} is not between 0 and 20.")
        given = replaced(given, {"months": max(1, round(years * 12))})
    resolved, filled = resolve(given)
    return _planned(resolved, seed, draws, filled)


def from_inputs(inputs: dict[str, Any]) -> FleetPlan:
    """The plan that a card describes. Raises UserError on values that are none of a request."""
    seed, draws = (typed(int, inputs[key], f"{key} of fleet") for key in ("seed", "draws"))
    return _planned(validated(inputs["scenario"], "the card"), seed, draws, [])


def _planned(scenario: FleetScenario, seed: int, draws: int, filled: Sequence[str]) -> FleetPlan:
    numbers = scenario.numbers()
    drawn = {path: value.draw(draws, seed, path) for path, value in numbers.items()}
    middle = {path: np.full(1, value.mid) for path, value in numbers.items()}
    out = simulate(
        scenario, hardware(scenario, drawn.__getitem__), drawn.__getitem__,
        middle.__getitem__, hardware(scenario, middle.__getitem__),
    )  # fmt: skip
    series = out.series
    shape = DayShape(tuple(scenario.demand.hourly), scenario.serving.headroom.mid)
    busiest = float(np.median(series["gpus_serving"][:, 0])) / shape.occupancy
    elasticity, passed = drawn["elasticity.price_elasticity"], drawn["elasticity.pass_through"]
    gain = out.efficiency[:, -1] / out.efficiency[:, 0]
    ratio, eaten = rebound(gain, elasticity, passed)
    middle_pass = numbers["elasticity.pass_through"].mid
    threshold = 1 / middle_pass if middle_pass else None
    return FleetPlan(
        scenario=scenario,
        seed=seed,
        draws=draws,
        series={key: Band(*_percentiles(values)) for key, values in series.items()},
        day=tuple(share * busiest for share in shape.serving),
        jevons=Jevons(
            threshold, float((elasticity * passed > 1).mean()), three_of(ratio), three_of(eaten), three_of(gain)
        ),
        totals={key: three_of(series[key].sum(axis=1)) for key in ("cost", "capex", "training_gpu_hours")},
        drives=_drives(drawn, series["gpus_needed"][:, -1]),
        assumptions=[*filled, *_assumptions(scenario), *_against_history(scenario, series["unserved_share"])],
        sources=_sources(scenario),
    )


def _percentiles(values: Any) -> list[tuple[float, ...]]:
    """Three rows over months: the percentiles of the draws."""
    return [tuple(float(v) for v in row) for row in np.percentile(values, PERCENTILES, axis=0)]


def _drives(drawn: Mapping[str, Any], result: Any) -> list[tuple[str, float]]:
    """Rank correlation of every uncertain input with the result, strongest first."""
    ranks = np.argsort(np.argsort(result)).astype(float)
    found = []
    for path, values in drawn.items():
        if np.ptp(values) > 0 and ranks.size > 2 and np.ptp(result) > 0:
            own = np.argsort(np.argsort(values)).astype(float)
            found.append((path, float(np.corrcoef(own, ranks)[0, 1])))
    return sorted(found, key=lambda item: -abs(item[1]))


def _against_history(scenario: FleetScenario, unserved: Any) -> list[str]:
    """Published demand was served; where the plan leaves much of it unserved, it says so."""
    known = [scenario.index(point.month) for point in scenario.demand.observed]
    inside = [index for index in known if 0 <= index < scenario.months]
    worst = max(inside, key=lambda index: float(np.median(unserved[:, index])), default=None)
    if worst is None or (share := float(np.median(unserved[:, worst]))) < NOTICEABLE:
        return []
    return [
        said(
            "In {month:date} the median leaves {share:.0%} of the published demand unserved, which was served: "
            "the scenario's speeds or caps are more pessimistic than what happened.",
            month=scenario.month(worst),
            share=share,
        )
    ]


def _sources(scenario: FleetScenario) -> list[str]:
    """Who says what, each once."""
    named = {value.source for value in scenario.numbers().values()} | {scenario.demand.hourly_source}
    return sorted(s for s in named if s and s != NOT_MODELLED and not s.lower().startswith("assumption"))


def _assumptions(scenario: FleetScenario) -> list[str]:
    """Every number of the scenario that no source states, and what the model itself assumes."""
    out: list[str] = []
    for path, value in scenario.numbers().items():
        if not value.source or value.source.lower().startswith("assumption"):
            low, mid, high = value.three
            between = said("{low:g} to {mid:g} to {high:g}", low=low, mid=mid, high=high)
            out.append(
                said(
                    "{name} = {value} (assumption{note})",
                    name=path,
                    value=said("{mid:g}", mid=mid) if value.fixed else between,
                    note=said(value.source.removeprefix("assumption").removeprefix("Assumption")),
                )
            )
    if len(set(scenario.demand.hourly)) == 1:
        out.append(said("The load is flat over the day (assumption)."))
    if scenario.demand.growth_kind == "observed":
        out.append(
            said(
                "Observed growth already contains the price falls of the median path; "
                "the elasticity acts on departures from it."
            )
        )
    out.append(
        said("Orders follow the present need and the median growth over the lead time; nobody knows its own future.")
    )
    return out
