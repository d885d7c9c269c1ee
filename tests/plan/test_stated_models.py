"""Models that are a line of sizes, in every kind of plan: what was filled in is said, and the card runs again."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from centime.cli import app
from centime.plan.budget.inputs import training_run
from centime.plan.card import make_card
from centime.plan.compare.plan import compare
from centime.plan.compare.request import CompareRequest
from centime.plan.explain.plan import explain
from centime.plan.lifetime.planner import plan_lifetime
from centime.plan.lifetime.request import LifetimeRequest
from centime.plan.rerun import rerun
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import ServingRequest
from centime.plan.training.case import case
from centime.plan.training.plan import plan_training
from centime.plan.training.request import TrainingRequest
from centime.plan.verbs import Plan

SIZES = "16B-A3B,layers=27,hidden=2048,experts=64,topk=6"
SAID = "A vocabulary of 128,256, assumed"
RUN = f"model={SIZES},gpu=h100,gpus=64,tokens=100B"

PLANS: dict[str, Callable[[], Plan]] = {
    "train": lambda: plan_training(TrainingRequest(SIZES, 1e11, "h100", 64, date="2026-01-15")),
    "serve": lambda: plan_serving(ServingRequest(SIZES, "h100", gpus=8, date="2026-01-15")),
    "compare": lambda: compare(CompareRequest((SIZES, "8B"), ("h100",), gpus=64, tokens=1e11, date="2026-01-15")),
    "explain": lambda: explain(case(RUN), case(RUN.replace("64,topk", "128,topk"))),
    "lifetime": lambda: plan_lifetime(
        LifetimeRequest("8B", 1e14, quality_tokens=15e12, family="dense", date="2026-01-15", mode="flops")
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", PLANS)
def test_every_plan_takes_sizes_and_its_card_runs_again(verb: str) -> None:
    plan = PLANS[verb]()
    card = json.loads(json.dumps(make_card(plan)))
    assert rerun(card).same
    if verb in ("train", "serve"):
        assert SAID in plan.to_json()["assumptions"]


def test_model_show_knows_them() -> None:
    result = CliRunner().invoke(app, ["model", "show", SIZES], catch_exceptions=False)
    assert result.exit_code == 0
    for text in ("16.01 B", "3.000 B", "2.737 B without the input embedding", SAID):
        assert text in result.output


def test_a_run_of_a_budget_takes_them() -> None:
    assert training_run("16B-A3B,layers=27=2T")[:2] == ("16B-A3B,layers=27", 2e12)
    assert training_run("8B=15T")[:2] == ("8B", 15e12)
