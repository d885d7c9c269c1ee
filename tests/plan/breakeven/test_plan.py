"""One's own fleet against an API: the answer, its interval, and what moves it which way."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from centime.catalogue.api_prices import OFF_PEAK, price_list
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.breakeven.plan import BreakevenPlan
from centime.plan.breakeven.planner import from_inputs, plan_breakeven
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import Demand, ServingRequest

REQUEST = BreakevenRequest(
    "llama-3.1-8b", "h100", ("0.06,0.06,0.06",), isl=1000, osl=250, price="$2/h", date="2026-06-01", staff=30_000
)


@pytest.fixture(scope="module")
def plan() -> BreakevenPlan:
    return plan_breakeven(REQUEST)


def load(asked: BreakevenRequest) -> float:
    found = plan_breakeven(asked).crossings[0].load
    assert found is not None
    return found


def test_there_the_fleet_costs_what_the_api_does(plan: BreakevenPlan) -> None:
    (crossing,) = plan.crossings
    assert crossing.verdict == "from"
    assert plan.cost(crossing.load) == pytest.approx(crossing.load * 0.06 / 1e6)
    assert plan.cost(3 * crossing.load) < 3 * crossing.load * 0.06 / 1e6
    assert crossing.low < crossing.load < crossing.high


def test_a_day_is_the_gpus_of_the_peak_around_the_clock(plan: BreakevenPlan) -> None:
    for tokens in (1e6, 1e9, 1e11, 1e12):
        assert plan.cost(tokens) == pytest.approx(plan.gpus(tokens) * 2 * 24 + 30_000 * 12 / 365.25)
        low, high = plan.cost_range(tokens)
        assert low <= plan.cost(tokens) <= high
        assert 0 <= plan.idle(tokens) < 1
    assert plan.gpus(1e6) == min(option.gpus_for(1e-9) for option in plan.fleet.options)


def test_a_large_fleet_is_what_plan_serve_says(plan: BreakevenPlan) -> None:
    tokens = 1e13
    demand = Demand(tokens * 0.8, tokens * 0.2)
    served = plan_serving(
        ServingRequest("llama-3.1-8b", "h100", demand=demand, isl=1000, osl=250, price="$2/h", date="2026-06-01")
    )
    assert plan.gpus(tokens) == pytest.approx(served.gpus_peak, rel=0.02)
    assert plan.per_million(1.0) == pytest.approx(served.money.cost_per_day / tokens * 1e6, rel=0.02)


def test_what_makes_the_fleet_pay_later() -> None:
    middle = load(REQUEST)
    assert load(replace(REQUEST, staff=40_000)) > middle
    assert load(replace(REQUEST, price="$3/h")) > middle
    assert load(replace(REQUEST, peak_to_mean=3.0)) > middle
    assert load(replace(REQUEST, apis=("0.1,0.1,0.1",))) < middle
    assert load(replace(REQUEST, hit=0.5)) < middle  # hits cost the API's user as much here, and the fleet less


def test_a_hit_that_the_api_gives_cheaper_helps_the_api() -> None:
    dear, cheap = (
        plan_breakeven(replace(REQUEST, hit=0.5, apis=(prices,))).crossings[0].api.mid
        for prices in ("0.06,0.06,0.06", "0.01,0.06,0.06")
    )
    assert cheap == pytest.approx(dear - 0.8 * 0.5 * 0.05)


def test_never_up_to_there_and_always() -> None:
    never = plan_breakeven(replace(REQUEST, apis=("0.0001,0.0001,0.0001",)))
    assert never.crossings[0].verdict == "never"
    assert never.to_json()["tokens_per_day"] is None
    assert never.even_share(never.apis[0]) is None
    always = plan_breakeven(replace(REQUEST, price="$0/h", staff=0.0))
    assert always.crossings[0].verdict == "always"


def test_hours_of_a_list_are_weighed_by_when_tokens_come() -> None:
    asked = replace(REQUEST, apis=("deepseek-v4-flash",), date="2026-09-01")
    even = plan_breakeven(asked).apis[0]
    assert even.low < even.mid < even.high == pytest.approx(2 * even.low)
    listed = price_list("deepseek-v4-flash", "2026-09-01")
    assert not listed.terms.startswith(OFF_PEAK)
    assert even.high == pytest.approx(0.8 * listed.miss + 0.2 * listed.output)  # of 1,250 tokens 250 are the answer
    assert even.peak_share == pytest.approx(7 * 5 / 168)  # seven hours of five days
    peak, off = (plan_breakeven(replace(asked, peak_share=share)).apis[0] for share in (1.0, 0.0))
    assert (peak.low, peak.mid, peak.high) == (even.high, even.high, even.high)
    assert off.mid == even.low


def test_bought_chips_cost_what_plan_budget_says_and_have_a_range() -> None:
    plan = plan_breakeven(replace(REQUEST, price=None, bought=True, chip_price=30_000.0))
    dear = plan_breakeven(replace(REQUEST, price=None, bought=True, chip_price=60_000.0))
    hour = plan.hour
    assert hour.low < hour.price.per_device_hour < hour.high
    assert hour.price.per_device_hour > 30_000 / (5 * 8766)  # the chip alone over its life, money at no interest
    assert 1.5 < dear.hour.price.per_device_hour / hour.price.per_device_hour < 2


def test_the_price_list_of_another_currency_is_refused() -> None:
    with pytest.raises(UserError, match="give one currency"):
        plan_breakeven(replace(REQUEST, price="2 EUR/h", staff=0.0))
    with pytest.raises(UserError, match="--staff is in EUR"):
        plan_breakeven(replace(REQUEST, staff_currency="EUR"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"apis": ()}, "--api: none is given"),
        ({"peak_share": 1.5}, "--peak-share 1.5 is no share"),
        ({"staff": -1.0}, "--staff -1"),
        ({"most": 100.0}, "less than a request"),
        ({"bought": True}, "--price is of a rented hour"),
        ({"chip_price": 3e4}, "are of bought chips"),
        ({"price": None, "bought": True, "power_price": 0.0}, "--power-price is above 0"),
        ({"apis": ("no-such-list",)}, "no price list"),
        ({"gpu": "h1000"}, "h1000"),
        ({"tpot_s": 1e-5}, "no unit gives a token"),
        ({"layout": "mixed=tp3"}, "tp 3 does not divide"),
    ],
)
def test_a_wrong_input_is_a_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan_breakeven(replace(REQUEST, **change))


def test_json_stands_and_rebuilds(plan: BreakevenPlan) -> None:
    found = plan.to_json()
    json.dumps(found)
    assert from_inputs(json.loads(json.dumps(plan.inputs()))).to_json() == found
    assert found["tokens_per_day"] == plan.crossings[0].load
    assert found["requests_per_day"] == pytest.approx(found["tokens_per_day"] / 1250)


def test_a_layout_that_is_given_is_the_one(plan: BreakevenPlan) -> None:
    given = plan_breakeven(replace(REQUEST, layout="mixed=tp2"))
    assert {option.name for option in given.fleet.options} == {"TP2"}
    assert given.gpus(1e6) == 2


def test_the_report_names_the_answer(plan: BreakevenPlan) -> None:
    several = dataclasses.replace(plan, apis=(*plan.apis, *plan.apis))
    for lang in ("en", "fr"):
        shown = verbs.sections(several, lang)
        assert len(shown) > 5
        assert plan.request.model in verbs.title(plan, lang)
