"""What AdamW in 8 bits and Muon change in the bytes and the seconds of a step, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.step.cost import StepCost
from centime.plan.step.job import Job
from centime.plan.step.layout import parse
from centime.plan.step.memory import local_params, memory_of
from centime.plan.step.prediction import software_of
from centime.plan.step.times import once_of
from centime.plan.training.plan import plan_training
from centime.plan.training.request import TrainingRequest

LAYOUT = parse("pp=4,ep=8,zero=1", 64)


def job(model: str = "deepseek-v2-lite", optimizer: str = "adamw") -> Job:
    return Job(architecture(model), chip("h100"), 4096, 1024, "bf16", software_of(None), optimizer)


@pytest.mark.parametrize("model", ["deepseek-v2-lite", "deepseek-v3"])
def test_states_shrink_by_what_they_are_kept_in_and_nothing_else_does(model: str) -> None:
    adamw, eight, muon = (memory_of(job(model, name), LAYOUT) for name in ("adamw", "adam8bit", "muon"))
    assert eight.optimizer / adamw.optimizer == pytest.approx((4 + 2 * (1 + 4 / 2048)) / 12)  # fp32 weights stay
    assert 8 / 12 < muon.optimizer / adamw.optimizer < 0.75  # 4 + 4 of 4 + 8, but for tables and vectors
    for other in (eight, muon):
        assert replace(other, optimizer=adamw.optimizer) == adamw


def test_only_the_update_takes_another_time_and_muons_products_cost_more_than_its_states_save() -> None:
    adamw, eight, muon = (StepCost(job(optimizer=name)).times(LAYOUT).parts for name in ("adamw", "adam8bit", "muon"))
    assert eight["optimizer"] < adamw["optimizer"] < muon["optimizer"]
    for other in (eight, muon):
        same = {name: seconds for name, seconds in adamw.items() if name not in ("optimizer", "jitter")}
        assert {name: other[name] for name in same} == same
    assert muon["optimizer"] < 0.1 * sum(adamw.values())


def test_unsharded_states_are_whole() -> None:
    whole = parse("pp=4,ep=8,zero=0", 64)
    adamw, muon = (memory_of(job(optimizer=name), whole).optimizer for name in ("adamw", "muon"))
    sharded = memory_of(job(optimizer="muon"), LAYOUT).optimizer
    assert sharded < muon < adamw


def test_a_run_fits_where_adamw_does_not() -> None:
    tight = TrainingRequest("llama-3.1-8b", 1e12, "h200", 1, layout="zero=0", seq=2048, global_batch=8)
    with pytest.raises(UserError, match="needs"):
        plan_training(tight)
    with pytest.raises(UserError, match=r"--optimizer 'adam8'.*adam8bit"):
        plan_training(replace(tight, optimizer="adam8"))
    plan = plan_training(replace(tight, optimizer="adam8bit"))
    assert plan.to_json()["optimizer"] == "adam8bit"
    assert any("no measured step" in line for line in plan.assumptions)


def orthogonalised(short: int, long: int) -> float:
    """FLOPs of five Newton-Schulz steps on a matrix [short, long], product by product."""
    products = ((short, long, short), (short, short, short), (short, short, long))  # X X^T, its square, times X
    return 5.0 * sum(2 * m * k * n for m, k, n in products)


@pytest.mark.parametrize(
    ("model", "short", "long"),
    [("deepseek-v2-lite", 1408, 2048), ("gpt-oss-20b", 2880, 2880), ("mixtral-8x7b", 4096, 14336)],
)
def test_muons_products_are_those_of_matrices_of_the_experts_shape(model: str, short: int, long: int) -> None:
    """Every other matrix is taken as [D, 3 D]; the rest of the update reads and writes the states."""
    layout = parse("ep=8,zero=1", 64)
    load = StepCost(job(model, "muon")).load
    dense, expert = local_params(load.work, layout)
    dense, expert = dense / 64, expert / 8  # as they are sharded
    hidden = load.work.hidden
    flops = dense * orthogonalised(hidden, 3 * hidden) / (3 * hidden**2) + expert * orthogonalised(short, long) / (
        short * long
    )
    at_once = replace(load, rates=replace(load.rates, gemm_bf16=1e300))
    seconds, without = (once_of(one, layout).optimizer for one in (load, at_once))
    assert seconds - without == pytest.approx(flops / load.rates.gemm_bf16, rel=1e-6)
