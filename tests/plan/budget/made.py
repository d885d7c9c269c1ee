"""Budgets of given speeds and training hours, so that no test predicts them again."""

from __future__ import annotations

from dataclasses import asdict

from centime.catalogue.chips import chip
from centime.plan.budget.inputs import BudgetRequest, levers
from centime.plan.budget.model import BudgetOutcome, outcome
from centime.plan.budget.plan import BudgetPlan, from_inputs
from centime.plan.fleet.uncertain import Uncertain

RUNS = {"deepseek-v3": {"low": 0.8e6, "mid": 1.0e6, "high": 1.2e6, "source": "given"}}
BILLION = BudgetRequest(capex=1e9)


def inputs(request: BudgetRequest) -> dict[str, Uncertain]:
    prefill = Uncertain(low=20_000, mid=30_000, high=40_000, source="given")
    decode = Uncertain(low=4_000, mid=6_000, high=9_000, source="given")
    return levers(request, chip(request.chip), prefill, decode)


def plan(request: BudgetRequest) -> BudgetPlan:
    saved = {
        "request": asdict(request) | {"overrides": {}},
        "inputs": {name: value.model_dump() for name, value in inputs(request).items()},
        "run_hours": RUNS,
        "assumptions": [],
    }
    return from_inputs(saved)


def middle(request: BudgetRequest, **changes: float) -> BudgetOutcome:
    return outcome(request, {name: value.mid for name, value in inputs(request).items()} | changes)
