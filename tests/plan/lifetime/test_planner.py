"""Lives: Sardana's published optimum in FLOPs, and what must hold of any costs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.lifetime.chinchilla import optimal_tokens

from centime.catalogue.architecture import Architecture
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.counts.architecture import count_architecture
from centime.plan.counts.reshape import DENSE, sparsity
from centime.plan.lifetime.options import candidates
from centime.plan.lifetime.plan import cheapest, envelope
from centime.plan.lifetime.planner import _resolved, from_inputs, plan_lifetime
from centime.plan.lifetime.request import Costs, LifetimeRequest
from centime.plan.lifetime.scaling_laws import QualityLaw, loss_law, moe_law

SARDANA = loss_law("sardana")
THIRTEEN = LifetimeRequest(
    "llama-2-13b", 2e12, quality_tokens=optimal_tokens(SARDANA, 13e9), family="dense", law="sardana", mode="flops"
)


def unit_costs(factor: float = 1.0) -> Costs:
    """Linear in active parameters, fp8 twice as cheap to serve."""

    def active(arch: Architecture) -> float:
        return float(count_architecture(arch).active_params)

    return Costs(
        "USD",
        ("bf16", "fp8"),
        lambda arch, tokens: (1e-16 * active(arch) * tokens, (0.9, 1.2)),
        lambda arch, precision: (factor * 1e-17 * active(arch) / (1 + (precision == "fp8")), (0.8, 1.3)),
    )


def test_sardana_13b_quality_with_2t_served_tokens():
    """arXiv 2401.00448, figure 1: a 7B trained longer saves 1.7e22 FLOP, 17 %."""
    found = plan_lifetime(THIRTEEN)
    assert found.unit == "FLOP"
    assert found.best.params == pytest.approx(7e9, rel=0.25)  # sizes are a quarter apart
    assert found.best.tokens > 2 * found.bar.tokens
    assert found.saving == pytest.approx(0.17, abs=0.02)
    assert found.sources[:2] == (architecture("llama-2-13b").source, SARDANA.source)
    assert found.bar.total(2e12) - found.best.total(2e12) == pytest.approx(1.7e22, rel=0.12)
    assert from_inputs(found.inputs()).to_json() == found.to_json()


@settings(max_examples=5, deadline=None)
@given(served=st.floats(1e10, 1e16), more=st.floats(2, 1000))
def test_more_demand_never_means_a_larger_model_or_a_cheaper_life(served: float, more: float):
    few = plan_lifetime(LifetimeRequest("deepseek-v3", served), unit_costs())
    many = plan_lifetime(LifetimeRequest("deepseek-v3", served * more), unit_costs())
    assert many.best.serve <= few.best.serve
    assert many.best.train >= few.best.train
    assert many.best.total(many.served) > few.best.total(few.served)
    assert few.best.precision == "fp8"
    assert few.saving >= 0  # the bar itself is among the options


def test_curve_and_break_even_agree():
    found = plan_lifetime(LifetimeRequest("deepseek-v3", 1e14), unit_costs())
    curve = found.curve()
    totals = [point.total for point in curve]
    assert totals == sorted(totals)
    crossing = found.break_even()
    assert all(p.best.serving_share(p.served) >= 0.5 for p in curve if p.served > crossing)
    before = cheapest(found.options, crossing * (1 - 1e-9))
    assert before.serving_share(crossing) == pytest.approx(0.5, abs=0.02)
    for start, option in envelope(found.options):
        served = max(1.0, start * (1 + 1e-9))
        assert cheapest(found.options, served).total(served) == pytest.approx(option.total(served))
    assert found.bar.break_even == pytest.approx(found.bar.train / found.bar.serve)
    low, high = found.best.interval(found.served)
    assert low < found.best.total(found.served) < high


def test_every_option_reaches_the_bar_and_a_dearer_hour_moves_no_choice():
    found, dearer = (plan_lifetime(LifetimeRequest("deepseek-v3", 1e14), unit_costs(f)) for f in (1.0, 1.0000001))
    assert dearer.best.name == found.best.name
    for option in found.options:
        assert math.isfinite(option.tokens)
        assert option.total(found.served) >= found.best.total(found.served)
    assert {law for law, _ in found.by_law} >= {"besiroglu + clark", "hoffmann + ling"}


def test_candidates_are_of_their_kind_and_each_of_a_size_of_its_own():
    law = QualityLaw(SARDANA, moe_law("ling"))
    loss = law.loss(37e9, DENSE, 15e12)
    found = candidates("both", law, loss, math.inf)
    kinds = {(kind, arch.name.partition(" resized")[0]): arch.is_mixture for kind, arch, _ in found}
    mixtures = [f"DeepSeek-V3 of {experts} experts" for experts in (64, 128, 256)]
    assert kinds == {("dense", architecture("llama-3.1-405b").name): False} | {("moe", name): True for name in mixtures}
    assert len({arch.name for _, arch, _ in found}) == len(found)
    for _, arch, tokens in found:
        size = math.log(count_architecture(arch).total_params / 5e8, 1.25)
        assert abs(size - round(size)) < 0.35, arch.name
        assert law.loss(float(count_architecture(arch).active_params), sparsity(arch), tokens) == pytest.approx(loss)
    few = candidates("dense", law, loss, 40e9)
    assert {kind for kind, _, _ in few} == {"dense"}
    assert 30e9 < max(count_architecture(arch).total_params for _, arch, _ in few) <= 40e9


def test_dense_alone_is_dearer_than_a_mixture_and_dense_and_moe_are_kept_apart():
    dense, both = (
        plan_lifetime(LifetimeRequest("deepseek-v3", 1e14, family=f), unit_costs()) for f in ("dense", "both")
    )
    assert {option.family for option in dense.options} == {"dense"}
    assert both.best.family == "moe"
    assert both.best.total(1e14) < dense.best.total(1e14)


def test_no_option_is_trained_on_more_than_there_is():
    free = plan_lifetime(LifetimeRequest("deepseek-v3", 1e15), unit_costs())
    held = plan_lifetime(LifetimeRequest("deepseek-v3", 1e15, max_tokens=20e12), unit_costs())
    assert max(option.tokens for option in held.options) <= 20e12 < free.best.tokens
    assert held.best.total(1e15) > free.best.total(1e15)
    most = max(option.tokens for option in held.options)
    exactly = plan_lifetime(LifetimeRequest("deepseek-v3", 1e15, max_tokens=most), unit_costs())
    assert most in {option.tokens for option in exactly.options}
    with pytest.raises(UserError, match="--max-tokens"):
        plan_lifetime(LifetimeRequest("deepseek-v3", 1e15, max_tokens=1e11, family="dense"), unit_costs())


def test_in_measured_money_on_h800():
    """The planner's own costs: V3's quality, served 100 T tokens."""
    found = plan_lifetime(LifetimeRequest("deepseek-v3", 1e14, price="$2/h", moe="ling", family="moe"))
    assert found.unit == "USD"
    assert found.best.family == "moe"
    assert found.best.total(1e14) < found.bar.total(1e14)
    assert found.best.active_params < found.bar.active_params
    assert found.bar.train == pytest.approx(5.6e6, rel=0.2)
    for lang in ("en", "fr"):
        assert verbs.title(found, lang)
        assert verbs.sections(found, lang)
    assert found.to_json()["saving"] == found.saving


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"served_tokens": -1.0}, "at least 1"),
        ({"quality_tokens": 1e-320}, "at least 1"),
        ({"software_date": "2025-02-30"}, "software date"),
        ({"quality_of": "deepseek-v33"}, "no model called"),
        ({"quality_of": "qwen3-235b-a22b"}, "--quality-tokens"),
        ({"law": "kaplan"}, "not a scaling law"),
        ({"moe": "lingg"}, "Did you mean 'ling'"),
        ({"family": "sparse"}, "none of dense"),
        ({"mode": "joules"}, "neither money nor flops"),
        ({"hit": 1.5}, "below 1"),
        ({"max_tokens": 0.0}, "at least 1"),
        ({"precisions": ("fp3",)}, "fp3"),
        ({"precision": "fp3"}, "not one to train in"),
        ({"isl": 1e30}, "--isl 1e.30 is more than any model takes"),
        ({"tpot_s": 1e30}, "--tpot 1e.30 is more than"),
        ({"price": "$2/h", "serve_gpu": "h100", "serve_price": "2 EUR/h"}, "one currency"),
    ],
)
def test_bad_input_is_a_sentence(change: dict[str, object], says: str):
    with pytest.raises(UserError, match=says):
        plan_lifetime(LifetimeRequest(**{"quality_of": "deepseek-v3", "served_tokens": 1e14, **change}))


@pytest.mark.parametrize(("name", "most"), [("served_tokens", 1e21), ("max_tokens", 1e18), ("quality_tokens", 1e18)])
def test_tokens_go_from_one_to_more_than_anybody_means(name: str, most: float):
    request = LifetimeRequest("deepseek-v3", 1e14, quality_tokens=1e12)
    for value in (1.0, most):
        assert getattr(_resolved(replace(request, **{name: value}))[0], name) == value
    for value in (0.99, most * 1.01):
        with pytest.raises(UserError, match=f"{name} is .*; expected a number of at least 1, and at most"):
            _resolved(replace(request, **{name: value}))


def said_of(served: float, **changed: float) -> list[str]:
    found = plan_lifetime(LifetimeRequest("deepseek-v3", served, **changed), unit_costs())  # type: ignore[arg-type]
    return [note for note in found.assumptions if "tried" in note or "published run" in note]


def test_an_answer_at_the_edge_of_the_search_says_so():
    inside, at_the_edge = said_of(1e13), said_of(1e19)
    assert not any("smallest" in note for note in inside)
    assert any("smallest that was tried" in note and "no number of tokens" in note for note in at_the_edge)
    assert any("more than any published run" in note for note in at_the_edge)
    kept = said_of(1e19, max_tokens=30e12)
    assert any("--max-tokens allows" in note for note in kept)
    assert not any("published run" in note for note in kept)
