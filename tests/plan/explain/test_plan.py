"""Explanations: shares add up, do not depend on which run is called A, and follow what is known of the examples."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.counts.architecture import count_architecture
from centime.plan.explain.causes import coalition, differing
from centime.plan.explain.plan import FAMILIES, decompose, explain, from_inputs
from centime.plan.explain.run import ExplainedRun
from centime.plan.explain.shapley import shapley
from centime.plan.show.sections import Figures
from centime.plan.training.case import RunInputs, case, example_names, from_json
from centime.plan.training.searched_step import SearchedStep

CHIPS = ("h800", "h100", "h20", "h200")
MODELS = ("deepseek-v3", "llama-3.1-405b", "deepseek-67b", "qwen3-235b-a22b")


def roofline(at: SearchedStep) -> float:
    """Seconds per token from counts alone: arithmetic, and a share of traffic that the links carry."""
    counts = count_architecture(at.arch, at.seq)
    links = 2 * at.arch.layers * at.arch.hidden / ((at.chip.scaleup_gb_s or 1) * 1e9)
    batch = 1 + at.gpus / at.global_batch / 10
    return (counts.train_flops_per_token / at.chip.peak(at.precision) / 0.4 + links) * batch


@st.composite
def runs(draw: st.DrawFn) -> ExplainedRun:
    at = SearchedStep(
        architecture(draw(st.sampled_from(MODELS))),
        chip(draw(st.sampled_from(CHIPS))),
        gpus=draw(st.sampled_from((512, 2048))),
        seq=draw(st.sampled_from((4096, 8192))),
        global_batch=2048,
        precision=draw(st.sampled_from(("bf16", "fp8"))),
        schedule=draw(st.sampled_from(("1f1b", "dualpipe"))),
        software_date="",
    )
    made = RunInputs("run", at.arch.name, at.chip.name, at.gpus, draw(st.floats(1e12, 2e13)), layout="auto")
    searched = roofline(at)
    return ExplainedRun(made, at, searched * draw(st.floats(0.9, 1.1)), searched, draw(st.floats(0.5, 5.0)), "")


@settings(max_examples=15, deadline=None)
@given(a=runs(), b=runs())
def test_shares_add_up_in_logarithms_in_factors_and_in_money(a: ExplainedRun, b: ExplainedRun):
    found = decompose(a, b, roofline)
    assert math.fsum(cause.log for cause in found.causes) == pytest.approx(math.log(b.cost / a.cost), abs=1e-9)
    assert math.prod(cause.factor for cause in found.causes) == pytest.approx(found.ratio, rel=1e-9)
    assert math.fsum(cause.money for cause in found.causes) == pytest.approx(b.cost - a.cost, rel=1e-6, abs=1e-3)
    assert math.prod(found.family(name) for name in FAMILIES) == pytest.approx(found.ratio, rel=1e-9)
    for cause in found.causes:
        assert cause.least - 1e-9 <= cause.log <= cause.greatest + 1e-9


@settings(max_examples=15, deadline=None)
@given(a=runs(), b=runs())
def test_which_run_is_called_a_changes_the_signs_alone(a: ExplainedRun, b: ExplainedRun):
    there, back = decompose(a, b, roofline), decompose(b, a, roofline)
    assert {c.name: c.log for c in there.causes} == {c.name: -c.log for c in back.causes}
    assert {c.name: (c.least, c.greatest) for c in there.causes} == {
        c.name: (-c.greatest, -c.least) for c in back.causes
    }


@settings(max_examples=10, deadline=None)
@given(run=runs())
def test_a_run_explained_by_itself_has_no_causes(run: ExplainedRun):
    found = decompose(run, run, roofline)
    assert found.causes == ()
    assert found.ratio == 1
    assert verbs.sections(found, "en")


@settings(max_examples=10, deadline=None)
@given(a=runs(), b=runs())
def test_all_of_one_run_is_that_run(a: ExplainedRun, b: ExplainedRun):
    names = frozenset(differing(a.at, b.at))
    assert coalition(a.at, b.at, frozenset()) == a.at
    assert coalition(a.at, b.at, names) == b.at


def test_shapley_values_of_a_known_game():
    """Airport game: runways of 1, 2 and 3; the shares are 1/3, 5/6 and 11/6 (Littlechild and Owen 1973)."""
    need = {"a": 1.0, "b": 2.0, "c": 3.0}
    shares = shapley(tuple(need), lambda of: max((need[name] for name in of), default=0.0))
    assert [s.value for s in shares] == pytest.approx([1 / 3, 5 / 6, 11 / 6])


@pytest.mark.parametrize("name", example_names())
def test_every_example_is_a_run_with_sources(name: str):
    found = case(name)
    assert found.sources
    assert from_json(json.loads(json.dumps(found.to_json()))) == found


def test_h800_against_h100_differs_in_links_and_price_alone():
    found = explain(case("v3-h800"), case("v3-h100"))
    factors = {cause.name: cause.factor for cause in found.causes}
    assert set(factors) <= {"interconnect", "chip", "layout", "price"}
    assert factors["price"] == pytest.approx(2.99 / 2)
    assert factors["interconnect"] <= 1
    assert found.ratio > 1.2  # the unrestricted chip would have made the dearer run
    assert from_inputs(found.inputs()).ratio == pytest.approx(found.ratio, rel=1e-12)
    texts = {cause.name: (cause.before, cause.after) for cause in found.causes}
    for said, run in zip(texts["layout"], (found.a, found.b), strict=True):
        assert str(said) == f"{100 * (run.seconds / run.searched - 1):+.1f} % against the searched one"
    off = found.a.gpu_hours / found.a.case.reported_gpu_hours - 1
    assert abs(off) < 0.2
    for lang in ("en", "fr"):
        assert verbs.title(found, lang)
        assert verbs.sections(found, lang)
    figures = next(one for one in verbs.sections(found, "en") if isinstance(one, Figures))
    assert f"({100 * off:+.1f} %)" in figures.items[0].small
    told = found.to_json()
    for side, run, shown in zip("ab", (found.a, found.b), figures.items, strict=False):
        low, high = (told["interval"][side][end] for end in ("low", "high"))
        assert low < told[f"cost_{side}"] == run.cost < high
        assert shown.small.startswith(f"${low / 1e6:,.3f} M – ${high / 1e6:,.3f} M")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "inputs of explain: 'a' is missing"),
        ({"a": {}, "b": 1}, "inputs of explain: 'b' is missing"),
        (dict.fromkeys("ab", case("v3-h800").to_json() | {"price": 0.0}), "costs 0.0; a ratio of costs needs prices"),
    ],
)
def test_what_has_no_ratio_is_a_sentence(inputs: dict[str, object], says: str):
    with pytest.raises(UserError, match=says):
        from_inputs(inputs)


def test_v3_against_a_dense_model_of_its_makers():
    """V2 report, section 3.2.3: sparsity pays for itself; per token V3 costs less than the dense 67B by the hour."""
    found = explain(case("dense-67b-h800"), case("v3-h800"))
    factors = {cause.name: cause.factor for cause in found.causes}
    assert factors["tokens"] == pytest.approx(7.4)
    assert factors["size"] > 1 > factors["sparsity"]
    assert factors["precision"] < 1
    assert "price" not in factors


def test_inputs_in_a_line_and_in_files(tmp_path):
    line = case("model=deepseek-v3,gpu=h800,gpus=2048,tokens=14.8T,layout=pp=16,ep=64,price=2 EUR/h,global-batch=15360")
    assert line.layout == "pp=16,ep=64"
    assert (line.price, line.currency, line.global_batch) == (2.0, "EUR", 15360)
    own = tmp_path / "own.toml"
    own.write_text('model = "deepseek-v3"\ngpu = "h800"\ngpus = 8\ntokens = "1T"\n')
    assert case(str(own)).tokens == 1e12
    with pytest.raises(UserError, match="one currency"):
        explain(case("v3-h800"), line)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("v3-h80", "v3-h800"),
        ("nowhere.toml", "cannot be read"),
        ("model=deepseek-v3", "'gpu' is missing"),
        ("model=deepseek-v3,gpu=h800,gpus=2048,tokens=-3", "not a quantity"),
        ("model=deepseek-v3,gpu=h800,gpus=0,tokens=3T", "above zero"),
        ("model=deepseek-v3,gpu=h800,gpus=1.5,tokens=3T", "whole number"),
        ("modle=deepseek-v3,gpu=h800", "Did you mean 'model'"),
    ],
)
def test_bad_input_is_a_sentence(text: str, says: str):
    with pytest.raises(UserError, match=says):
        case(text)
