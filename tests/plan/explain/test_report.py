"""An explanation's report, of two runs whose costs are counted by hand: every figure, and the sentences about them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from tests.plan.show.shown import figures, notes, one, rows

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan import verbs
from centime.plan.explain.causes import describe, differing
from centime.plan.explain.plan import Explanation, decompose
from centime.plan.explain.report import paradox
from centime.plan.explain.run import ExplainedRun
from centime.plan.show.language import writer
from centime.plan.show.sections import Waterfall
from centime.plan.training.case import RunInputs
from centime.plan.training.searched_step import SearchedStep

AT = SearchedStep(architecture("deepseek-v3"), chip("h800"), 2048, 4096, 15_360, "fp8", "dualpipe", "2024-12")
W = writer("en")


def seconds(at: SearchedStep) -> float:
    """Half as long on an H100 as on an H800 by the chip, four fifths by its links, twice as long in bf16, as the
    active parameters go."""
    fast = 0.8 if at.chip.scaleup_gb_s == chip("h100").scaleup_gb_s else 1.0
    fast *= 0.5 if at.chip.name == "H100 SXM 80GB" else 1.0
    fast *= 2.0 if at.precision == "bf16" else 1.0
    return 1e-3 * fast * (1.0 if at.arch == AT.arch else 3.0)


def run(
    at: SearchedStep = AT, *, price: float = 2.0, tokens: float = 1e9, layout: float = 1.0, **case: Any
) -> ExplainedRun:
    made = RunInputs(f"on {at.chip.name}", at.arch.name, at.chip.name, at.gpus, tokens, layout="auto", **case)
    return ExplainedRun(made, at, seconds(at) * layout, seconds(at), price, "", (0.9, 1.2))


def other_chip(**case: Any) -> ExplainedRun:
    return run(replace(AT, chip=chip("h100")), **case)


def explained(a: ExplainedRun, b: ExplainedRun) -> Explanation:
    return decompose(a, b, seconds)


def test_causes_by_hand() -> None:
    found = explained(run(layout=1.1), other_chip(price=3.0, tokens=2e9))
    shown = verbs.sections(found, "en")
    table = rows(shown, "Causes, from A to B")
    whole = math.log(found.ratio)
    unit = (found.b.cost - found.a.cost) / whole
    expected = {
        "Interconnect": 0.8,
        "Chip: compute and memory": 0.5,
        "Layout as run": 1 / 1.1,
        "Tokens": 2.0,
        "Price of an hour": 1.5,
    }
    for name, factor in expected.items():
        *_, times, order, share, money = table[name]
        assert times == f"x {factor:.3f}"
        assert order == f"x {factor:.3f} – x {factor:.3f}"
        assert share == f"{100 * math.log(factor) / whole:.1f} %"
        assert money == W.money(unit * math.log(factor), "USD")
    assert found.ratio == pytest.approx(math.prod(expected.values()))
    difference = W.money(found.b.cost - found.a.cost, "USD")
    assert table["Whole"] == ["", "", f"x {found.ratio:.3f}", "", "100 %", difference]
    assert table["Layout as run"][:2] == ["+10.0 % against the searched one", "+0.0 % against the searched one"]
    assert table["Tokens"][:2] == ["1.00 B tokens", "2.00 B tokens"]
    assert table["Price of an hour"][:2] == ["$2.00 a chip-hour", "$3.00 a chip-hour"]
    assert rows(shown, "Whose doing") == {
        "The model and its tokens": ["x 2.000"],
        "Precision, overlap, layout": ["x 0.909"],
        "Hardware and its price": ["x 0.600"],
        "Cluster and batch": ["x 1.000"],
    }
    fall = one(shown, Waterfall, "From A's cost to B's")
    assert (fall.start, fall.end) == (("A", found.a.cost), ("B", found.b.cost))
    assert fall.start[1] + sum(step for _, step in fall.steps) == pytest.approx(fall.end[1])
    assert {step for _, step in fall.steps} == {cause.money for cause in found.causes}
    signs = [step < 0 for _, step in fall.steps]
    assert signs == sorted(signs)  # what takes away comes last, so that the way never leads below nothing


def test_the_head_has_both_runs_and_what_their_makers_reported() -> None:
    found = explained(run(), other_chip(reported_gpu_hours=100.0))
    head = figures(verbs.sections(found, "en"))
    a, b = found.a, found.b
    assert head["B over A"] == ("x 0.400", "")
    assert a.gpu_hours == pytest.approx(1e6 / 3600)
    assert head[f"A: {a.case.title}"] == (
        W.money(a.cost, "USD"),
        f"{W.money(0.9 * a.cost, 'USD')} – {W.money(1.2 * a.cost, 'USD')}; 278 GPU-hours",
    )
    assert head[f"B: {b.case.title}"][1].endswith("; 111 GPU-hours; reported 100 (+11.1 %)")


def test_what_the_chip_did_is_said_for_the_cheaper_run_whichever_is_a() -> None:
    dear, cheap = run(), other_chip(price=3.0)
    for found in (explained(dear, cheap), explained(cheap, dear)):
        (line,) = map(str, paradox(found))
        assert line == (
            "On H100 SXM 80GB instead of H800 SXM 80GB the same work costs -20.0 % by the links, -50.0 % by compute "
            "and memory, +50.0 % by the price of an hour: -40.0 % together."
        )


def test_what_the_model_did_is_said_too() -> None:
    bigger = run(replace(AT, arch=architecture("llama-3.1-405b")), tokens=1e9)
    _, line = map(str, paradox(explained(bigger, other_chip(layout=1.25))))
    assert line.startswith(
        "The model and its tokens change the cost by -66.7 %, precision, overlap and layout by +25.0 %"
    )
    share = 100 * math.log(0.4) / math.log(0.4 * 1.25 / 3)
    assert line.endswith(f"is {share:.1f} % of the whole, in logarithms.")


def test_on_one_chip_at_one_price_there_is_no_paradox() -> None:
    assert paradox(explained(run(), run(tokens=2e9))) == []
    (line,) = map(str, paradox(explained(run(), run(price=1.0))))
    assert line.startswith(
        "On H800 SXM 80GB ($1.00/h) instead of H800 SXM 80GB ($2.00/h) the same work costs +0.0 % by"
    )
    assert "The paradox in numbers" not in [
        getattr(s, "title", "") for s in verbs.sections(explained(run(), run()), "en")
    ]


def test_two_runs_alike_have_no_shares() -> None:
    shown = verbs.sections(explained(run(), run()), "en")
    assert rows(shown, "Causes, from A to B") == {"Whole": ["", "", "x 1.000", "", "–", "$0.00"]}


def test_millions_are_said_as_such_beside_a_million() -> None:
    found = explained(run(tokens=1.8e12), run(tokens=1.9e12))
    assert found.a.cost == pytest.approx(1e6)
    assert rows(verbs.sections(found, "en"), "Causes, from A to B")["Whole"][-1] == "$0.056 M"
    less = explained(run(tokens=1.7e12), run(tokens=1.75e12))
    assert rows(verbs.sections(less, "en"), "Causes, from A to B")["Whole"][-1] == W.money(
        less.b.cost - less.a.cost, "USD"
    )
    assert "M" not in W.money(less.b.cost - less.a.cost, "USD")


def test_price_notes_and_sources_stand_once() -> None:
    note = "on H800: $2.00 a chip-hour"
    a = replace(run(sources=("one", "two")), price_note=note)
    shown = verbs.sections(decompose(a, run(tokens=2e9, sources=("two",)), seconds, ("assumed",)), "en")
    assert notes(shown, "Assumptions") == ["assumed", note]
    assert notes(shown, "Sources") == ["one", "two"]
    bare = verbs.sections(explained(run(), run(tokens=2e9)), "en")
    assert not {"Assumptions", "Sources"} & {getattr(section, "title", "") for section in bare}


def test_a_run_is_described_by_what_it_has() -> None:
    said = {
        cause: str(describe(cause, AT)) for cause in ("size", "sparsity", "attention", "overlap", "chip", "cluster")
    }
    assert said["size"] == "671 B parameters"
    assert said["sparsity"].endswith("% active, 61 layers")
    assert said["attention"] == "MLA, 128 heads"
    assert said["overlap"] == "dualpipe, 2024-12"
    assert said["chip"] == "989 TFLOPS bf16, 80 GB at 3.35 TB/s"
    assert said["cluster"] == "2,048 chips, 15,360 x 4,096 tokens a step"
    undated = replace(AT, schedule=None, software_date="", arch=architecture("llama-3.1-405b"))
    assert str(describe("overlap", undated)) == "best schedule"
    assert str(describe("sparsity", undated)) == "dense, 126 layers"
    assert str(describe("attention", undated)) == "GQA, 128 heads"
    assert str(describe("interconnect", AT)) == "200 GB/s among 8, 50 GB/s beyond"


def test_two_shapes_of_one_size_differ_in_shape_alone() -> None:
    other = replace(AT.arch, name="another", norm_bias=not AT.arch.norm_bias)
    assert differing(AT, replace(AT, arch=other)) == ["sparsity"]
    assert differing(AT, AT) == []
    assert differing(AT, replace(AT, arch=architecture("llama-3.1-405b"))) == ["size", "sparsity", "attention"]
    assert differing(AT, replace(AT, gpus=1024, precision="bf16", schedule=None)) == ["precision", "overlap", "cluster"]
