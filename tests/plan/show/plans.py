"""A plan of every verb, made once: what reports are tested with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from centime.plan.breakeven.planner import plan_breakeven
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.budget.inputs import BudgetRequest
from centime.plan.budget.plan import plan_budget
from centime.plan.check.plan import check_file
from centime.plan.compare.plan import CompareRequest, compare
from centime.plan.diff.plan import diff
from centime.plan.diff.sides import Side
from centime.plan.explain.plan import explain
from centime.plan.fleet.plan import plan_fleet
from centime.plan.frontier.planner import plan_frontier
from centime.plan.frontier.request import FrontierRequest
from centime.plan.lifetime.planner import plan_lifetime
from centime.plan.lifetime.request import LifetimeRequest
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import Demand, ServingRequest
from centime.plan.training.case import case
from centime.plan.training.means import Means
from centime.plan.training.means_search import afford
from centime.plan.training.plan import plan_training
from centime.plan.training.request import TrainingRequest

RUNS = Path(__file__).resolve().parents[3] / "scripts" / "same_as" / "runs.csv"
RUN = {"model": "deepseek-v2-lite", "tokens": 1e12, "gpu": "h800", "gpus": 64}
SERVED = {"model": "deepseek-v2-lite", "gpu": "h800", "gpus": 8, "isl": 1000.0, "osl": 100.0}
MEASURED = Path(__file__).with_name("served.csv")
TRACED = Path(__file__).with_name("trace.csv")
DAY = Demand(608e9, 168e9, 0.563)


@functools.cache
def made() -> Sequence[Callable[[], Any]]:
    """Makers of plans, each of which computes once."""
    return [
        functools.cache(maker)
        for maker in (
            lambda: plan_training(TrainingRequest("deepseek-v3", 14.8e12, "h800", 2048, price="$2/h")),
            lambda: plan_training(
                TrainingRequest("deepseek-v4-flash", 1e12, "gb200", 64, date="2025-02-01", region="cn"), quick=True
            ),
            lambda: plan_training(
                TrainingRequest("deepseek-v2-lite", 1e12, "h100", 64, market="spot", currency="EUR", first_run=True)
            ),
            lambda: afford(Means(TrainingRequest("deepseek-v2-lite", 0, "", 0), 2e12, None, 64, "$90k", "20d")),
            lambda: plan_serving(ServingRequest("deepseek-v3", "h800", demand=DAY, context=4989, prices="deepseek-r1")),
            lambda: plan_serving(ServingRequest("llama-3.1-70b", "h20", gpus=5)),
            # every cause there is, on few chips: 256 searches
            lambda: explain(
                replace(case("v3-h800"), model="deepseek-v2-lite", gpus=8, global_batch=64, layout="ep=8,zero=1"),
                replace(case("llama-405b-h100"), model="llama-3.1-8b", gpus=16, global_batch=32, layout="tp=2,pp=2"),
            ),
            lambda: diff(
                Side("a.toml", "train", RUN | {"post_hours": 5e3}), Side("b.toml", "train", RUN | {"gpu": "h20"}), 0.05
            ),
            lambda: diff(
                Side("a", "serve", SERVED), Side("b", "serve", SERVED | {"gpu": "h200", "tpot_s": 0.04}), None
            ),
            lambda: plan_lifetime(LifetimeRequest("deepseek-67b", 1e13, mode="flops", law="hoffmann")),
            lambda: compare(CompareRequest(("deepseek-v3",), ("h800", "910c"), date="2025-02-01")),
            lambda: plan_fleet("google-tokens", draws=20),
            lambda: plan_fleet("startup", draws=20, years=1),
            lambda: plan_budget(BudgetRequest(80e9, of="Microsoft", efficiency=10)),
            lambda: check_file(RUNS),
            lambda: plan_breakeven(BreakevenRequest("llama-3.1-8b", "h100", ("deepseek-v4-flash",), staff=2e4)),
            lambda: plan_frontier(FrontierRequest("llama-3.1-70b", ("h100", "910c"), measured=str(MEASURED), isl=1024)),
            lambda: plan_frontier(
                FrontierRequest("deepseek-v3", ("rtx 4090",), precisions=("int4",), prices=("$1/h",))
            ),
            lambda: plan_breakeven(BreakevenRequest("llama-3.1-8b", "h100", ("1,2,3",), trace=str(TRACED))),
            lambda: plan_breakeven(BreakevenRequest("llama-3.1-8b", "h100", ("0.01,0.01,0.01",), bought=True)),
        )
    ]
