"""`centime plan budget`: what a budget buys, rent against own, and what the answer depends on most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from centime.catalogue.chips import chip as chip_called
from centime.catalogue.currencies.exchange import exchange_rate
from centime.catalogue.market import MarketFigure, figures
from centime.errors import UserError, nearest
from centime.plan.budget.company import CompanyOutcome, company_outcome
from centime.plan.budget.finance import break_even_months, break_even_utilisation, economic_value, straight_line
from centime.plan.budget.inputs import (
    CONTEXT,
    HIT_SHARE,
    LABELS,
    PROMPT_PER_OUTPUT,
    BudgetRequest,
    in_range,
    levers,
    training_run,
)
from centime.plan.budget.model import BudgetOutcome, outcome
from centime.plan.budget.notes import notes
from centime.plan.budget.questions import EfficiencyGain, PublishedSplit, efficiency_gain, published_splits
from centime.plan.fleet.uncertain import Uncertain, three_of
from centime.plan.serving.request import Demand, ServingRequest
from centime.plan.typed_inputs import typed

DRAWS = 400
SEED = 0
MIXES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of training in the frontier
LIVES = (3, 5, 6)  # years of straight-line depreciation
Three = tuple[float, float, float]


@dataclass(frozen=True)
class Swing:
    """The NPV with one input at its low and high end, all others at their medians."""

    name: str
    low: float
    high: float
    low_input: float
    high_input: float


@dataclass(frozen=True)
class BudgetPlan:
    """What a budget comes to. Money in USD."""

    verb: ClassVar[str] = "budget"
    request: BudgetRequest
    chip: str
    inputs_used: Mapping[str, Uncertain]
    base: BudgetOutcome  # every input at its median
    bands: Mapping[str, Three]  # 10th percentile, median, 90th
    run_hours: Mapping[str, Uncertain]  # GPU-hours of one training run, by model
    frontier: Sequence[tuple[float, Mapping[str, float], float, float]]  # train share, runs a year, tokens a day, NPV
    swings: Sequence[Swing]
    actuals: Sequence[MarketFigure]
    splits: Sequence[tuple[PublishedSplit, float, float]]  # as published; tokens a day and NPV of this fleet so split
    gain: EfficiencyGain | None
    assumptions: Sequence[str]
    sources: Sequence[str]

    def inputs(self) -> dict[str, Any]:
        """Rebuilds the plan: the request, every input and the GPU-hours of a run, as resolved."""
        asked = asdict(self.request) | {"overrides": {}}
        return {
            "request": asked,
            "inputs": {name: value.model_dump() for name, value in self.inputs_used.items()},
            "run_hours": {model: hours.model_dump() for model, hours in self.run_hours.items()},
            "assumptions": [str(text) for text in self.assumptions],
        }

    @property
    def company(self) -> CompanyOutcome | None:
        """What the company's own figures come to, where they are given."""
        asked = self.request
        if asked.company is None:
            return None
        return company_outcome(asked.company, asked.discount, asked.tax, asked.write_off)

    @property
    def currency(self) -> str:
        """In which amounts are shown."""
        return self.request.currency or "USD"

    @property
    def rate(self) -> float:
        """What a dollar is in it."""
        return exchange_rate("USD", self.currency).value

    def runs_per_year(self, model: str) -> float:
        """Training runs of a model a year, at the medians."""
        return self.base.train_hours / self.run_hours[model].mid

    def depreciation(self) -> dict[str, list[float]]:
        """Book value of one GPU's IT by year: straight line over 3, 5, 6 years, and by the rents it can still earn."""
        values = {name: value.mid for name, value in self.inputs_used.items()}
        cost, years = self.base.own.capex_it, self.request.years
        found = {f"straight_{life}": straight_line(cost, life, years) for life in LIVES}
        found["economic"] = economic_value(cost, values["rent_falls"], self.request.discount, values["life_it"], years)
        return found

    def to_json(self) -> dict[str, Any]:
        """Documented in docs/plan-fleet.md. Every [a, b, c] is the 10th percentile, the median, the 90th."""
        rent = self.inputs_used["rent"].mid
        own, use = self.base.own, self.inputs_used["rent_use"].mid
        return {
            "capex_usd": self.request.capex,
            "chip": self.chip,
            "currency": "USD",
            "gpus": self.base.gpus,
            "capex_per_gpu_usd": own.capex_it + own.capex_building,
            "megawatts": self.base.megawatts,
            "train_gpu_hours_per_year": self.base.train_hours,
            "output_tokens_per_day": self.base.output_per_day,
            "input_tokens_per_day": self.base.input_per_day,
            "owner_cost_per_gpu_hour_usd": own.per_hour(),
            "owner_cost_per_m_output_usd": self.base.cost_per_m_output if self.request.serve else None,
            "npv_usd": self.base.npv,
            "npv_rented_out_usd": self.base.npv_rented_out,
            "irr": self.base.irr,
            "payback_years": self.base.payback,
            "break_even_load": self.base.break_even_load,
            "rent_usd_per_gpu_hour": rent,
            "rent_or_own_break_even_utilisation": break_even_utilisation(own, rent),
            "rent_or_own_break_even_months": break_even_months(own, rent, use, self.inputs_used["rent_falls"].mid),
            "interval": {name: list(band) for name, band in self.bands.items()},
            "capex_split_usd": {
                "chips": self.base.capex_chips,
                "server_network_storage": self.base.capex_rest_of_it,
                "building_power": self.base.capex_building,
                "not_ai": self.request.capex * (1 - self.inputs_used["ai_share"].mid),
            },
            "runs": {
                model: {"gpu_hours": list(hours.three), "per_year": self.runs_per_year(model)}
                for model, hours in self.run_hours.items()
            },
            "frontier": [
                {"train_share": share, "runs_per_year": dict(runs), "output_tokens_per_day": tokens, "npv_usd": worth}
                for share, runs, tokens, worth in self.frontier
            ],
            "cash_flows_usd": list(self.base.flows),
            "years_usd": [
                {"in_use": share, "income": income, "tax": tax}
                for share, income, tax in zip(self.base.in_use, self.base.income, self.base.tax, strict=True)
            ],
            "company": self.company.to_json(self.request.company) if self.company and self.request.company else None,
            "shown": {"currency": self.currency, "per_usd": self.rate},
            "depreciation_per_gpu_usd": self.depreciation(),
            "tornado_npv_usd": [asdict(swing) for swing in self.swings],
            "splits": [
                {**asdict(split), "output_tokens_per_day": tokens, "npv_usd": worth}
                for split, tokens, worth in self.splits
            ],
            "efficiency": self.gain.to_json() if self.gain else None,
            "actuals": [
                {"id": row.id, "metric": row.metric, "period": row.period, "low": row.low, "high": row.high,
                 "unit": row.unit, "note": row.note, "source": row.source}
                for row in self.actuals
            ],
            "inputs_used": {
                name: dict(value.model_dump(), label=LABELS[name]) for name, value in self.inputs_used.items()
            },
            "assumptions": [str(text) for text in self.assumptions],
            "sources": list(self.sources),
        }  # fmt: skip


def plan_budget(request: BudgetRequest) -> BudgetPlan:
    """The plan of a request. Raises UserError on an unknown chip, model or entity, and on a price nobody knows."""
    from centime.plan.fleet.productivity import run_gpu_hours, serving_rates

    chip = chip_called(request.chip)
    actuals = actuals_of(request.of)
    demand = Demand(PROMPT_PER_OUTPUT * 1e12, 1e12, HIT_SHARE)
    rates = serving_rates(ServingRequest(request.serve_model, chip.name, demand=demand, context=CONTEXT))
    inputs = levers(request, chip, rates.prefill, rates.decode)
    hours, trained = {}, []
    for text in request.models:
        model, tokens, gpus = training_run(text)
        hours[model], note = run_gpu_hours(model, chip.name, tokens, gpus)
        trained.append(note)
    base = outcome(request, {name: value.mid for name, value in inputs.items()})
    said_of = [*notes(request, chip, inputs, base.input_per_day + base.output_per_day), rates.note, *trained]
    return _planned(request, chip.name, inputs, hours, actuals, said_of)


def from_inputs(saved: dict[str, Any]) -> BudgetPlan:
    """The plan that a card describes. Raises UserError on values that are none of a request, or out of range."""
    request = typed(BudgetRequest, saved["request"], "request of budget")
    inputs = in_range(typed(dict[str, Uncertain], saved["inputs"], "inputs of budget"))
    name = chip_called(request.chip).name
    hours = typed(dict[str, Uncertain], saved["run_hours"], "run_hours of budget")
    assumptions = typed(list[str], saved["assumptions"], "assumptions of budget")
    return _planned(request, name, inputs, hours, actuals_of(request.of), assumptions)


def actuals_of(entity: str | None) -> list[MarketFigure]:
    """What market.csv says of an entity's capex, in its order. Raises UserError where it has no such entity."""
    if entity is None:
        return []
    known = {row.entity for row in figures("capex")}
    match = next((name for name in known if name.lower() == entity.lower()), None)
    if match is None:
        raise UserError(f"no capex of {entity!r} is known.{nearest(entity, known)} Known: {', '.join(sorted(known))}.")
    return figures("capex", match)


def _planned(
    request: BudgetRequest,
    chip: str,
    inputs: Mapping[str, Uncertain],
    run_hours: Mapping[str, Uncertain],
    actuals: Sequence[MarketFigure],
    assumptions: Sequence[str],
) -> BudgetPlan:
    middle = {name: value.mid for name, value in inputs.items()}
    base = outcome(request, middle)
    if base.gpus < 1:
        each = f": one costs ${request.capex * middle['ai_share'] / base.gpus:,.0f} all-in" if base.gpus > 0 else ""
        raise UserError(f"--capex ${request.capex:,.2f} buys no {chip}{each}.")
    listed = [value.source for value in inputs.values()]
    return BudgetPlan(
        request=request,
        chip=chip,
        inputs_used=inputs,
        base=base,
        bands=_bands(request, inputs),
        run_hours=run_hours,
        frontier=_frontier(request, middle, run_hours),
        swings=_swings(request, inputs, middle),
        actuals=actuals,
        splits=_splits(request, middle),
        gain=None
        if request.efficiency is None
        else efficiency_gain(request.efficiency, base.gpus, request.serve, DRAWS, SEED),
        assumptions=assumptions,
        sources=list(dict.fromkeys(s for s in listed if not s.startswith("assumption"))),
    )


def _bands(request: BudgetRequest, inputs: Mapping[str, Uncertain]) -> dict[str, Three]:
    """Percentiles over draws of all inputs at once, as if independent of each other."""
    drawn = {name: value.draw(DRAWS, SEED, name).tolist() for name, value in inputs.items()}
    many = [outcome(request, {name: values[i] for name, values in drawn.items()}) for i in range(DRAWS)]
    columns = {
        "gpus": [o.gpus for o in many],
        "megawatts": [o.megawatts for o in many],
        "train_gpu_hours_per_year": [o.train_hours for o in many],
        "output_tokens_per_day": [o.output_per_day for o in many],
        "owner_cost_per_gpu_hour_usd": [o.own.per_hour() for o in many],
        "npv_usd": [o.npv for o in many],
        "npv_rented_out_usd": [o.npv_rented_out for o in many],
        "irr": [-1.0 if o.irr is None else o.irr for o in many],
        "break_even_load": [o.break_even_load for o in many if o.break_even_load is not None],
    }
    return {name: three_of(values) for name, values in columns.items() if values}


def _frontier(
    request: BudgetRequest, middle: Mapping[str, float], run_hours: Mapping[str, Uncertain]
) -> list[tuple[float, Mapping[str, float], float, float]]:
    """From all serving to all training."""
    out: list[tuple[float, Mapping[str, float], float, float]] = []
    for share in MIXES:
        mixed = outcome(replace(request, train=share, serve=1 - share), middle)
        runs = {model: mixed.train_hours / hours.mid for model, hours in run_hours.items()}
        out.append((share, runs, mixed.output_per_day, mixed.npv))
    return out


def _splits(request: BudgetRequest, middle: Mapping[str, float]) -> list[tuple[PublishedSplit, float, float]]:
    """What the fleet comes to under each split that somebody publishes."""
    found = []
    for split in published_splits():
        so = outcome(replace(request, train=split.train, serve=1 - split.train), middle)
        found.append((split, so.output_per_day, so.npv))
    return found


def _swings(request: BudgetRequest, inputs: Mapping[str, Uncertain], middle: Mapping[str, float]) -> list[Swing]:
    """Each input at its 10th and 90th percentile, the widest swing first; fixed inputs are left out."""
    found = []
    for name, value in inputs.items():
        if not value.fixed:
            low, _, high = value.three
            at = [outcome(request, {**middle, name: end}).npv for end in (low, high)]
            found.append(Swing(name, at[0], at[1], low, high))
    return sorted(found, key=lambda swing: -abs(swing.high - swing.low))
