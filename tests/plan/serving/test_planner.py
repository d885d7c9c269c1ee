"""`plan serve`: DeepSeek's own fleet from its demand and hardware, properties of money, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.api_prices import price_list
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.serving.plan import ServingPlan
from centime.plan.serving.planner import from_inputs, plan_serving
from centime.plan.serving.request import Demand, ServingRequest, parse_demand, parse_milliseconds, parse_units

DAY_6 = ServingRequest(
    model="deepseek-v3",
    gpu="h800",
    demand=Demand(608e9, 168e9, 342 / 608),
    context=4989,
    tpot_s=0.047,
    precision="fp8",
    layout="prefill=ep32,decode=ep144",
    price="$2/h",
    date="2025-02-27",
    prices="deepseek-r1",
)


@pytest.fixture(scope="module")
def day_6() -> ServingPlan:
    """open-infra-index, day 6: 24 hours of DeepSeek-V3 and R1."""
    return plan_serving(DAY_6)


def test_the_nodes_of_day_6(day_6: ServingPlan) -> None:
    assert day_6.gpus_mean / 8 == pytest.approx(226.75, rel=0.15)
    assert day_6.gpus_peak / 8 == pytest.approx(278, rel=0.15)


def test_day_6_from_demand_and_hardware_alone_shows_its_makers_layout_too() -> None:
    """Our own layout may be better than theirs; theirs is within 15 % of what they used, and inside its interval."""
    plan = plan_serving(ServingRequest("deepseek-v3", "h800", demand=DAY_6.demand, price="$2/h", date="2025-02-27"))
    assert plan.makers is not None
    assert plan.makers.gpus_mean / 8 == pytest.approx(226.75, rel=0.15)
    assert plan.makers.gpus_mean / plan.high_factor < 1814 < plan.makers.gpus_mean / plan.low_factor
    assert plan.gpus_mean <= plan.makers.gpus_mean
    assert plan.to_json()["makers_layout"]["layout"] == "prefill=ep32,decode=ep144"
    assert "prefill=ep32,decode=ep144" in str(verbs.sections(plan, "en")[0])
    for other in ({"layout": "prefill=ep32,decode=ep144"}, {"gpu": "h20"}, {"demand": None, "gpus": 2048}):
        assert plan_serving(replace(plan.request, **other)).makers is None


def test_the_rates_of_day_6(day_6: ServingPlan) -> None:
    assert day_6.input_rate * 8 == pytest.approx(73_700, rel=0.2)
    assert day_6.output_rate * 8 == pytest.approx(14_800, rel=0.2)


def test_the_money_of_day_6(day_6: ServingPlan) -> None:
    assert day_6.money.cost_per_day == pytest.approx(87_072, rel=0.15)
    assert day_6.money.revenue_per_day == pytest.approx(562_027, rel=0.001)
    assert day_6.money.margin is not None
    assert 1 + day_6.money.margin == pytest.approx(6.45, rel=0.15)


def test_latency_keeps_to_its_limits(day_6: ServingPlan) -> None:
    said = day_6.to_json()
    assert said["ttft_s"]["p99"] <= DAY_6.ttft_s
    assert said["tpot_s"]["p50"] <= DAY_6.tpot_s * 1.01
    assert said["ttft_s"]["p50"] < said["ttft_s"]["p90"] < said["ttft_s"]["p99"]


def test_the_parts_add_up(day_6: ServingPlan) -> None:
    said = day_6.to_json()
    json.dumps(said)
    demand, costs = day_6.demand, said["per_million"]
    hits = demand.input_per_day * demand.hit
    whole = (
        hits * costs["hit"] + (demand.input_per_day - hits) * costs["miss"] + demand.output_per_day * costs["output"]
    )
    assert whole / 1e6 == pytest.approx(said["cost_per_day"])
    assert sum(said["breakdown_s"]["decode"].values()) == pytest.approx(said["units"]["decode"]["tpot_s"])
    assert said["interval"]["low"] < said["gpus_mean"] < said["interval"]["high"]


def test_a_card_gives_the_same_number(day_6: ServingPlan) -> None:
    again = from_inputs(json.loads(json.dumps(day_6.inputs())))
    assert again.to_json() == day_6.to_json()


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_it_shows_itself(day_6: ServingPlan, lang: str) -> None:
    assert verbs.title(day_6, lang)
    assert len(verbs.sections(day_6, lang)) == 8


def small(**changes: Any) -> ServingPlan:
    """A small question, quickly answered."""
    asked: dict[str, Any] = {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 8, "isl": 500, "osl": 200, "price": "$2/h"}
    return plan_serving(ServingRequest(**{**asked, **changes}))


@settings(max_examples=5, deadline=None)
@given(st.floats(0.5, 5.0), st.floats(1.01, 3.0))
def test_a_dearer_hour_is_never_cheaper(price: float, factor: float) -> None:
    low, high = (small(price=f"${p:.4f}/h").money for p in (price, price * factor))
    assert high.cost_per_day >= low.cost_per_day
    assert high.output_per_m >= low.output_per_m


def test_more_gpus_serve_no_less_and_tighter_limits_no_more() -> None:
    eight, sixteen = small(gpus=8), small(gpus=16)
    assert sixteen.demand.output_per_day >= eight.demand.output_per_day
    assert small(tpot_s=0.02).demand.output_per_day <= eight.demand.output_per_day * 1.001
    assert eight.gpus_peak <= 8


@settings(max_examples=4, deadline=None)
@given(st.integers(8, 60), st.integers(1, 30))
def test_more_gpus_never_serve_fewer_tokens(gpus: int, more: int) -> None:
    asked: dict[str, Any] = {"model": "deepseek-v3", "gpu": "h200", "isl": 2000, "osl": 500}
    few, many = small(**asked, gpus=gpus), small(**asked, gpus=gpus + more)
    assert many.demand.output_per_day >= few.demand.output_per_day * 0.9999
    for plan, there in ((few, gpus), (many, gpus + more)):
        assert plan.gpus_peak <= there
        idle = [text for text in plan.assumptions if "left idle" in text]
        assert bool(idle) == (plan.gpus_peak < there)


def test_a_small_demand_is_not_told_to_rent_one_vast_unit() -> None:
    """What costs least a token may be a unit of hundreds of GPUs: a demand that keeps tens busy takes smaller ones."""
    asked = {"isl": 5000, "osl": 1000, "price": "$2/h", "date": "2026-06-01"}
    plan = plan_serving(ServingRequest("MiniMax-M2.5", "gh200", demand=Demand(10e9, 2e9, 0.5), **asked))  # type: ignore[arg-type]
    assert plan.gpus_peak < 3 * plan.gpus_mean
    assert plan.gpus_peak >= plan.gpus_mean * 1.2
    more = plan_serving(replace(plan.request, demand=Demand(1e12, 2e11, 0.5)))
    assert more.gpus_peak < 1.5 * 1.3 * more.gpus_mean
    assert more.gpus_mean < 101 * plan.gpus_mean


def test_hits_cost_less_than_misses_and_save_gpus() -> None:
    cold = small(gpus=None, demand=Demand(1e9, 4e8, 0.0))
    warm = small(gpus=None, demand=Demand(1e9, 4e8, 0.6))
    assert warm.gpus_mean < cold.gpus_mean
    assert warm.money.hit_per_m < warm.money.miss_per_m


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("608B-in/day", "no -out part"),
        ("608-in,168B-out/day", "not understood"),
        ("-5B-in/day,1B-out/day", "not a quantity"),
        ("0-in/day,1B-out/day", "above zero"),
        ("1B-in/day,1B-out/day,hit=1.2", "below 1"),
        ("1B-in/fortnight,1B-out/day", "not understood"),
    ],
)
def test_a_demand_that_is_none(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_demand(text)


def test_a_demand_may_be_by_the_second() -> None:
    assert parse_demand("1K-in/s,2K-out/s") == Demand(86.4e6, 172.8e6, 0.0)


@pytest.mark.parametrize("text", ["50", "-5ms", "fast", "5 minutes"])
def test_a_latency_needs_its_unit(text: str) -> None:
    with pytest.raises(UserError, match="ms or s"):
        parse_milliseconds(text, "--tpot")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prefill=ep32", "go together"),
        ("mixed=tp8,decode=tp8", "alone"),
        ("warp=tp8", "no kind of unit"),
        ("decode=tp0,prefill=tp8", "nought"),
        ("octo8", "not a unit"),
        ("tp3ep2", "does not divide"),
    ],
)
def test_a_layout_that_is_none(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_units(text, mixture=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gpus": None}, "either --gpus"),
        ({"gpus": 0}, "not a number of GPUs"),
        ({"demand": Demand(1, 1)}, "one of the two"),
        ({"isl": -3}, "above zero"),
        ({"peak_to_mean": 0.5}, "below 1"),
        ({"model": "llama-3.1-405b", "gpus": 1, "precision": "bf16"}, "the weights take"),
        ({"model": "lama-3.1-8b"}, "lama-3.1-8b"),
        ({"gpu": "h1000"}, "h1000"),
        ({"tpot_s": 1e-5}, "no unit gives a token within"),
        ({"mtp": 1}, "no MTP module"),
        ({"layout": "ep8"}, "no experts"),
        ({"layout": "tp3"}, "does not divide"),
        ({"layout": "prefill=tp8,decode=tp8"}, "takes 16 GPUs"),
        ({"date": "yesterday"}, "is not a date"),
        ({"engine": "vlm"}, "vllm"),
        ({"context": 5000}, "leave it out"),
        ({"prices": "deepseek-r2"}, "deepseek-r1"),
        ({"prices": "deepseek-r1", "price": "2 EUR/h"}, "one currency"),
    ],
)
def test_bad_input_gets_a_sentence(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        small(**changes)


def test_a_price_that_is_given_is_of_the_date_that_is_given(day_6: ServingPlan) -> None:
    assert day_6.price.date == "2025-02-27"
    assert "days old" in str(day_6.prices)


def test_times_are_written_without_an_exponent(day_6: ServingPlan) -> None:
    shown = [
        cell
        for section in verbs.sections(day_6, "en")
        if hasattr(section, "rows")
        for row in section.rows
        for cell in row
    ]
    assert not [cell for cell in shown if "e+" in cell]


def test_price_lists_by_name_and_by_amounts() -> None:
    assert price_list("deepseek-r1").output == 2.19
    assert price_list("0.1,0.5,2").miss == 0.5
    assert price_list("deepseek-v3", "2025-03-01").output == 1.10
    assert price_list("deepseek-v3 off-peak", "2025-03-01").output == 0.55
    assert price_list("deepseek-v3", "2024-12-31").output == 0.28


def test_what_nobody_said_is_assumed_and_said() -> None:
    plain = plan_serving(ServingRequest(model="llama-3.1-8b", gpu="h100", gpus=8, price="$2/h"))
    assert (plain.lengths.isl, plain.lengths.osl) == (4096, 1024)
    told = " ".join(plain.to_json()["assumptions"])
    assert "Requests of 4,096 tokens in and 1,024 out (assumption)" in told
    assert "No speculation" in told


def test_the_least_demand_takes_a_unit() -> None:
    """A token a month: a whole unit that stands idle, and its price over what little it serves."""
    found = plan_serving(ServingRequest("llama-3.1-8b", "h100", demand=Demand(1 / 30, 1 / 30), price="$2/h"))
    assert found.gpus_peak >= 1
    assert found.fleet.cost_per_day == 48 * found.gpus_peak
    assert found.fleet.idle == pytest.approx(1.0)
