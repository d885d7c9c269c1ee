"""Budgets: what must hold for any, hand calculations, the published figures they can be held against, bad input.

Speeds and training hours are given here; that they are predicted otherwise is tested where they are predicted.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.budget.made import BILLION, inputs, middle, plan

from centime.catalogue.chips import chip
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.budget.finance import HOURS_PER_YEAR, npv
from centime.plan.budget.inputs import LABELS, BudgetRequest, in_dollars, parse_split, training_run
from centime.plan.budget.model import seconds_per_output
from centime.plan.budget.plan import actuals_of, from_inputs, plan_budget
from centime.plan.fleet.build_cost import BUILDING_USD_PER_KW, build_cost, facility_kw
from centime.plan.fleet.uncertain import Uncertain
from centime.plan.show.sections import Table


def test_what_a_billion_buys_by_hand() -> None:
    made = middle(BILLION)
    each = 43_000 * (1 + 3.4 / 3.1 - 1) + 2.1 * round(2.5e6 / (1e6 * 5.9e6 / 35e9))
    assert made.gpus == pytest.approx(1e9 / each)
    assert made.megawatts == pytest.approx(made.gpus * 2.1 / 1000)
    assert made.capex_chips + made.capex_rest_of_it + made.capex_building == pytest.approx(1e9)
    assert made.train_hours == pytest.approx(made.gpus * HOURS_PER_YEAR * 0.95 * 0.3 * 0.8)
    per_token = 1 / 6000 + 608 / 168 / 30_000
    seconds = made.gpus * 86_400 * 0.95 * 0.7 * 0.5
    assert made.output_per_day == pytest.approx(seconds / per_token)


def test_a_rack_and_its_building_cost_what_was_published() -> None:
    """Bernstein, October 2025: $5.9 M a rack of 72, $35 B a gigawatt, 39 % of it GPUs."""
    cost = build_cost(chip("gb200"))
    assert cost.total * 72 == pytest.approx(5.9e6, rel=0.1)
    assert cost.total / cost.kw * 1e6 == pytest.approx(35e9, rel=0.1)


def test_a_quarter_of_microsoft_adds_the_gigawatt_it_reports() -> None:
    """M004: $37.5 B in a quarter, 'about 1 GW' of capacity added."""
    made = middle(BudgetRequest(capex=37.5e9))
    assert made.megawatts == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize("name", ["gb200", "b200", "h200", "h100"])
def test_an_owners_hour_is_near_the_published_one(name: str) -> None:
    """SemiAnalysis's cost of owners that pay about list prices (P0151 to P0163, neoclouds)."""
    published = chip(name).tco_neocloud_usd_h
    assert middle(BudgetRequest(capex=1e9, chip=name)).own.per_hour() == pytest.approx(published, rel=0.2)


def test_cash_flows_add_up() -> None:
    made = middle(BILLION)
    assert made.flows[0] == -1e9
    assert made.npv == pytest.approx(npv(0.1, made.flows))
    if made.irr is not None:
        assert npv(made.irr, made.flows) == pytest.approx(0, abs=1)
    assert len(made.flows) == BILLION.years + 1


def test_at_the_break_even_load_the_npv_is_zero() -> None:
    needed = middle(BILLION).break_even_load
    assert needed is not None
    assert middle(BILLION, serve_use=needed).npv == pytest.approx(0, abs=10)


@given(st.floats(1.01, 3), st.sampled_from(["chip_price", "building", "rest_of_it", "kw"]))
@settings(max_examples=20, deadline=None)
def test_dearer_things_buy_less(factor: float, what: str) -> None:
    base = inputs(BILLION)[what].mid
    assert middle(BILLION, **{what: base * factor}).gpus < middle(BILLION).gpus


@given(st.floats(1.01, 3), st.sampled_from(["token_revenue", "prefill", "decode", "rent"]))
@settings(max_examples=20, deadline=None)
def test_better_earnings_are_never_worth_less(factor: float, what: str) -> None:
    base = inputs(BILLION)[what].mid
    assert middle(BILLION, **{what: base * factor}).npv > middle(BILLION).npv


@given(st.floats(1.01, 3), st.sampled_from(["usd_per_kwh", "upkeep"]))
@settings(max_examples=20, deadline=None)
def test_dearer_running_is_never_worth_more(factor: float, what: str) -> None:
    base = inputs(BILLION)[what].mid
    dear = middle(BILLION, **{what: base * factor})
    assert dear.npv < middle(BILLION).npv
    assert dear.own.per_hour() > middle(BILLION).own.per_hour()


@given(st.floats(2, 100))
@settings(max_examples=10, deadline=None)
def test_everything_scales_with_the_budget(factor: float) -> None:
    small, large = middle(BILLION), middle(BudgetRequest(capex=1e9 * factor))
    for name in ("gpus", "megawatts", "train_hours", "output_per_day", "npv"):
        assert getattr(large, name) == pytest.approx(factor * getattr(small, name))
    assert large.irr == pytest.approx(small.irr)


def test_the_frontier_goes_from_all_tokens_to_all_runs() -> None:
    made = plan(BILLION)
    tokens = [tokens for _, _, tokens, _ in made.frontier]
    runs = [runs["deepseek-v3"] for _, runs, _, _ in made.frontier]
    assert tokens == sorted(tokens, reverse=True)
    assert runs == sorted(runs)
    assert tokens[-1] == runs[0] == 0


def test_the_tornado_has_every_uncertain_input_widest_first() -> None:
    made = plan(BILLION)
    widths = [abs(swing.high - swing.low) for swing in made.swings]
    assert widths == sorted(widths, reverse=True)
    assert {swing.name for swing in made.swings} == {n for n, v in made.inputs_used.items() if not v.fixed}
    for swing in made.swings:
        assert min(swing.low, swing.high) <= made.base.npv + 1 or max(swing.low, swing.high) >= made.base.npv - 1


def test_intervals_are_in_order_and_hold_the_medians() -> None:
    made = plan(BILLION)
    for low, mid, high in made.bands.values():
        assert low <= mid <= high
    assert made.bands["gpus"][0] <= made.base.gpus <= made.bands["gpus"][2]


def test_depreciation_by_accounting_and_by_rent() -> None:
    books = plan(BILLION).depreciation()
    cost = build_cost(chip("gb200")).it
    assert all(values[0] == pytest.approx(cost) for values in books.values())
    assert books["straight_3"][3] == 0
    assert books["straight_5"][5] == pytest.approx(0)
    assert books["straight_6"][5] == pytest.approx(cost / 6)
    assert all(e < s for e, s in zip(books["economic"][1:5], books["straight_5"][1:5], strict=True))


def test_every_input_has_a_label_a_source_and_an_order() -> None:
    for name, value in inputs(BILLION).items():
        assert name in LABELS
        assert value.source
        low, mid, high = value.three
        assert low <= mid <= high


def test_json_sections_and_card() -> None:
    made = plan(replace(BILLION, of="meta"))
    told = made.to_json()
    again = from_inputs(json.loads(json.dumps(made.inputs())))
    assert again.to_json() == told
    assert told["gpus"] == made.base.gpus
    assert [row["id"] for row in told["actuals"]] == ["M006", "M007", "M008", "M009", "M010", "M011"]
    for lang in ("en", "fr"):
        assert verbs.title(made, lang)
        assert len(verbs.sections(made, lang)) >= 9
    (load,) = (
        row
        for section in verbs.sections(made, "en")
        if isinstance(section, Table)
        for row in section.rows
        if row[0] == "Load at which the NPV is zero"
    )
    assert ("break_even_load" in made.bands) is bool(load[2]) is True
    assert verbs.title(made, "en") != verbs.title(made, "fr")
    assert not any(isinstance(v, float) and math.isnan(v) for v in told.values())


def test_given_prices_are_certain() -> None:
    given = inputs(BudgetRequest(capex=1e9, chip_price=50_000, rent=2.5, usd_per_kwh=0.1))
    assert given["chip_price"].three == (50_000,) * 3
    assert given["rent"].three == (2.5,) * 3
    assert given["usd_per_kwh"].three == (0.1,) * 3


def test_power_without_a_source_is_taken_from_chips_of_the_same_tdp() -> None:
    kw, note = facility_kw(chip("h800"))
    assert kw == pytest.approx(facility_kw(chip("h100"))[0], rel=0.01)
    assert "kW" in note


def test_seconds_of_a_token_hold_its_prompt() -> None:
    assert seconds_per_output({"decode": 1000.0, "prefill": 1e12}) == pytest.approx(1e-3)
    assert seconds_per_output({"decode": 1000.0, "prefill": 10_000.0}) > 1e-3
    assert BUILDING_USD_PER_KW.fixed is False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"capex": -1.0}, "--capex is above 0"),
        ({"capex": float("nan")}, "--capex is above 0"),
        ({"capex": float("inf")}, "--capex is above 0"),
        ({"years": 0}, "--years 0"),
        ({"train": 0.8}, "at most 1"),
        ({"discount": 7.0}, "--discount 7"),
        ({"rent": 0.0}, "--price is above 0"),
    ],
)
def test_requests_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        replace(BILLION, **change)


def test_texts_that_are_no_amounts_are_refused() -> None:
    assert in_dollars("80B$", "--capex") == 80e9
    assert in_dollars("$2/h", "--price") == 2.0
    assert in_dollars("$0.08/kWh", "--power-price") == 0.08
    assert in_dollars("80B€", "--capex") == pytest.approx(80e9 * 1.146)  # the central bank's of 2026-09-18
    for text in ("80Md$", "80 milliards $", "80 milliards de $", "80 Mds USD", "80000 millions $"):
        assert in_dollars(text, "--capex") == 80e9
    with pytest.raises(UserError, match="'XXX'"):
        in_dollars("80B XXX", "--capex")
    with pytest.raises(UserError, match="not an amount of money"):
        in_dollars("eighty billion", "--capex")
    with pytest.raises(UserError, match="not an amount of money"):
        in_dollars("80", "--capex")
    with pytest.raises(UserError, match=r"--chip-price .* beyond any budget"):
        in_dollars("$1e30", "--chip-price")
    with pytest.raises(UserError, match="--train-model '=': '' is not a quantity"):
        training_run("=")
    assert parse_split("train=0.3, serve=0.7") == (0.3, 0.7)
    for text in ("train=2", "train", "train=a", "sell=0.5"):
        with pytest.raises(UserError, match="--split"):
            parse_split(text)
    with pytest.raises(UserError, match="Did you mean 'Microsoft'"):
        actuals_of("microsft")
    with pytest.raises(UserError, match="no purchase price"):
        inputs(BudgetRequest(capex=1e9, chip="h800"))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("serve_use", 0.0, "above 0"), ("availability", 1.5, "at most 1"), ("hope", 1.0, "no input 'hope'")],
)
def test_inputs_that_cannot_be_are_refused(name: str, value: float, words: str) -> None:
    with pytest.raises(UserError, match=words):
        inputs(replace(BILLION, overrides={name: Uncertain(mid=value)}))


def test_a_budget_renews_nothing() -> None:
    """Beyond the life of the chips there are no more earnings: a longer horizon adds none."""
    short, long = middle(replace(BILLION, years=5)), middle(replace(BILLION, years=12))
    assert all(flow == 0 for flow in long.flows[6:-1])
    assert long.flows[1:5] == short.flows[1:5]


def test_a_budget_that_buys_no_chip_is_refused() -> None:
    with pytest.raises(UserError, match=r"buys no .*one costs \$7\d,\d{3}"):
        plan(BudgetRequest(capex=5000))


def test_old_prices_say_their_age() -> None:
    used = inputs(BILLION)
    assert "days old" in used["token_revenue"].source  # the list of R1, of 2025-02-28
    assert "days old" in used["rent"].source  # of 2026-04


def test_a_plan_says_how_long_each_training_was_predicted_to_take() -> None:
    asked = BudgetRequest(capex=2e6, chip="h100", models=("centime-d2=1B", "centime-d4=2B"), serve_model="centime-d2")
    made = plan_budget(asked)
    said = " ".join(map(str, made.assumptions))
    assert list(made.run_hours) == ["centime-d2", "centime-d4"]
    for model, hours in made.run_hours.items():
        assert hours.three[0] < hours.mid < hours.three[2]
        assert model in said
    assert "prompt tokens/s per GPU that prefills" in said
