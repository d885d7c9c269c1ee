"""A serving plan's report: every figure is the plan's own; and what the planner assumes, it says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.plan.show.shown import figures, notes, one, rows

from centime.plan import verbs
from centime.plan.serving.choice import Mixed, Split
from centime.plan.serving.plan import PEAK_TO_MEAN, ServingPlan, peak_to_mean
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.report import _milliseconds
from centime.plan.serving.request import Demand, ServingRequest
from centime.plan.show.language import writer
from centime.plan.show.sections import LineChart, StackedBars, Table

W = writer("en")
ASKED = ServingRequest(
    "llama-3.1-8b", "h100", gpus=16, isl=2000, osl=300, hit=0.4, price="$2/h", date="2026-01-15", prices="0.1,0.5,2"
)
LAYOUTS = {"mixed": "mixed=tp1", "split": "prefill=tp1,decode=tp2"}


@pytest.fixture(scope="module", params=LAYOUTS)
def plan(request: pytest.FixtureRequest) -> ServingPlan:
    made = plan_serving(replace(ASKED, layout=LAYOUTS[request.param]))
    assert isinstance(made.choice, Mixed if request.param == "mixed" else Split)
    return made


@pytest.fixture(scope="module")
def told(plan: ServingPlan) -> dict[str, Any]:
    return plan.to_json()


def dollars(value: float) -> str:
    return W.money(value, "USD")


def test_the_head(plan: ServingPlan, told: dict[str, Any]) -> None:
    low, high, fleet = told["interval"]["low"], told["interval"]["high"], told["fleet"]
    assert low < told["gpus_mean"] < high
    assert figures(verbs.sections(plan, "en")) == {
        "GPUs, mean": (W.count(told["gpus_mean"]), f"80 %: {W.count(low)} to {W.count(high)}"),
        "GPUs, peak": (W.count(told["gpus_peak"]), "whole units"),
        "Cost a day, while serving": (
            dollars(told["cost_per_day"]),
            f"$2.00 per device-hour, {told['price_date']}",
        ),
        "Cost a day, around the clock": (
            dollars(fleet["cost_per_day"]),
            f"{fleet['gpus']:,} GPUs, {100 * fleet['idle']:.0f}% of their time idle; "
            f"{dollars(fleet['cost_per_month'])} a month, {dollars(fleet['cost_per_year'])} a year",
        ),
        "Per million output tokens, all in": (
            dollars(told["cost_per_million_output_all_in"]),
            f"{W.count(told['output_tokens_per_day'])} a day; "
            f"{dollars(fleet['all_in_per_m_output'])} rented around the clock",
        ),
        "Input tokens/s per GPU that prefills": (W.count(plan.input_rate), ""),
        "Output tokens/s per GPU that decodes": (W.count(plan.output_rate), ""),
        "Parameters": (
            W.count(told["parameters"]["total"], 4),
            f"{W.count(told['parameters']['active'], 4)} for a token, "
            f"{W.count(told['parameters']['active_without_embedding'], 4)} without the input embedding",
        ),
        "Margin on cost": (f"{100 * told['margin']:,.0f} %", "at 0.1,0.5,2 prices"),
    }


def test_the_money_table_adds_up(plan: ServingPlan, told: dict[str, Any]) -> None:
    found = rows(verbs.sections(plan, "en"), "Money")
    input_, output, per = told["input_tokens_per_day"], told["output_tokens_per_day"], told["per_million"]
    cost = revenue = 0.0
    for name, tokens, key, price in (
        ("input, cache hit", 0.4 * input_, "hit", 0.1),
        ("input, cache miss", 0.6 * input_, "miss", 0.5),
        ("output", output, "output", 2.0),
    ):
        spent, earned = tokens * per[key] / 1e6, tokens * price / 1e6
        assert found[name] == [W.count(tokens), dollars(per[key]), dollars(price), dollars(spent), dollars(earned)]
        cost, revenue = cost + spent, revenue + earned
    assert cost == pytest.approx(told["cost_per_day"])
    assert revenue == pytest.approx(told["revenue_usd_per_day"])
    assert told["margin"] == pytest.approx(revenue / cost - 1)
    assert found["Total"] == ["", "", "", dollars(cost), dollars(revenue)]
    assert told["cost_per_day"] == pytest.approx(told["gpus_mean"] * 2 * 24)
    assert told["cost_per_million_output_all_in"] == pytest.approx(cost / output * 1e6)


def test_without_a_price_list_there_is_no_revenue(plan: ServingPlan) -> None:
    bare = replace(plan, prices=None, money=replace(plan.money, revenue_per_day=None, margin=None))
    sections = verbs.sections(bare, "en")
    assert all(row[2] == row[4] == "–" for name, row in rows(sections, "Money").items() if name != "Total")
    assert rows(sections, "Money")["Total"][4] == "–"
    assert "Margin on cost" not in figures(sections)


def test_units_and_steps(plan: ServingPlan, told: dict[str, Any]) -> None:
    sections = verbs.sections(plan, "en")
    found = rows(sections, "Units")
    for (role, unit), (name, cells) in zip(told["units"].items(), found.items(), strict=True):
        assert name == f"{role} {unit['unit']}"
        rate, batch, step = (
            ("input_tokens_per_s_per_gpu", "tokens_per_step_per_group", "step_s")
            if role == "prefill"
            else ("output_tokens_per_s_per_gpu", "batch_per_gpu", "tpot_s")
        )
        assert cells == [
            str(unit["gpus_per_unit"]),
            W.count(unit["gpus_mean"]),
            W.count(unit[batch]),
            _milliseconds(W, unit[step]),
            W.count(unit[rate]),
        ]
        if "batch" in unit:
            assert unit["batch"] == pytest.approx(unit["batch_per_gpu"] * unit["gpus_per_unit"])
    drawn = dict(one(sections, StackedBars, "Where a step's time goes").bars)
    assert {role: list(of.values()) for role, of in drawn.items()} == {
        role: pytest.approx([1e3 * seconds for seconds in of.values()]) for role, of in told["breakdown_s"].items()
    }
    for role, unit in told["units"].items():
        assert sum(told["breakdown_s"][role].values()) == pytest.approx(
            unit.get("tpot_s", unit.get("step_s")), rel=0.05
        )


def test_rates_times_gpus_are_the_demand(plan: ServingPlan, told: dict[str, Any]) -> None:
    units = told["units"]
    into, out = units.get("prefill", units.get("mixed")), units.get("decode", units.get("mixed"))
    day = 86_400
    assert into["gpus_mean"] * into["input_tokens_per_s_per_gpu"] * day == pytest.approx(told["input_tokens_per_day"])
    assert out["gpus_mean"] * out["output_tokens_per_s_per_gpu"] * day == pytest.approx(told["output_tokens_per_day"])
    assert told["input_tokens_per_day"] / told["output_tokens_per_day"] == pytest.approx(2000 / 300)
    assert told["gpus_peak"] <= 16
    assert told["gpus_mean"] * PEAK_TO_MEAN <= told["gpus_peak"] + 1e-6


def test_latency(plan: ServingPlan, told: dict[str, Any]) -> None:
    found = rows(verbs.sections(plan, "en"), "Latency")
    for name, key in (("Time to first token", "ttft_s"), ("Time per output token", "tpot_s")):
        assert found[name] == [_milliseconds(W, value) for value in told[key].values()]
    assert one(verbs.sections(plan, "en"), Table, "Latency").head[1:] == list(told["ttft_s"])
    assert [_milliseconds(W, s) for s in (0.0469, 0.0999, 0.1, 1.0634)] == ["46.9 ms", "99.9 ms", "100 ms", "1,063 ms"]


def test_the_frontier_trades_throughput_for_speed(plan: ServingPlan) -> None:
    (line,) = one(verbs.sections(plan, "en"), LineChart, "Throughput against speed").lines
    speeds, rates = zip(*line.points, strict=True)
    assert len(set(speeds)) == len(speeds) > 5
    assert list(speeds) == sorted(speeds)
    assert list(rates) == sorted(rates, reverse=True)
    for (x, rate), (at, low, high) in zip(line.points, line.band, strict=True):
        assert (at, low, high) == (x, pytest.approx(rate * plan.low_factor), pytest.approx(rate * plan.high_factor))


def test_sources_are_named_once(plan: ServingPlan) -> None:
    lines = notes(verbs.sections(plan, "en"), "Sources")
    assert len(set(lines)) == len(lines)
    assert lines[-1] == "$2.00 per device-hour (given; 2026-01-15)"
    assert notes(verbs.sections(plan, "en"), "Assumptions") == [str(line) for line in plan.assumptions]


ALWAYS = {"Limits: first token within 5 s for 99 of 100, a token each 50 ms on average"}
PRECISION, PEAK = "Weights in fp8 (assumption)", "Peak over mean 1.226, as DeepSeek's nodes on 2025-02-27"
SPECULATION = "No speculation; --mtp 1 drafts a token a step where the model has an MTP module."
HEADROOM = "Prefill units keep a headroom of 20 % for bursts; decode units absorb them in token time."


def test_what_is_given_is_not_assumed(plan: ServingPlan) -> None:
    assert {PRECISION, PEAK, SPECULATION} | ALWAYS <= set(plan.assumptions)
    assert (HEADROOM in plan.assumptions) == isinstance(plan.choice, Split)
    given = replace(ASKED, layout="mixed=tp1", precision="fp8", peak_to_mean=1.5)
    made = plan_serving(given)
    assert not {PRECISION, PEAK} & set(made.assumptions)
    assert peak_to_mean(made.request) == 1.5
    assert made.to_json()["gpus_mean"] * 1.5 <= 16
    assert (
        SPECULATION
        not in plan_serving(
            ServingRequest("deepseek-v3", "h200", gpus=16, isl=500, osl=100, layout="mixed=ep8", mtp=1)
        ).assumptions
    )


@pytest.mark.parametrize(
    ("asked", "lengths", "says"),
    [
        ({"isl": 1200.0}, (1200, 400), ""),
        ({"osl": 200.0}, (600, 200), ""),
        ({"isl": 1000.0, "osl": 320.0}, (1000, 320), ""),
        ({"context": 3500.0}, (3000, 1000), "Lengths from the ratio of input to output"),
        ({}, (3072, 1024), "Answers of 1,024 tokens (assumption)"),
    ],
)
def test_lengths_follow_from_what_is_given(asked: dict[str, float], lengths: tuple[float, float], says: str) -> None:
    made = plan_serving(
        ServingRequest("llama-3.1-8b", "h100", demand=Demand(3e9, 1e9), layout="mixed=tp1", price="$2/h", **asked)  # type: ignore[arg-type]
    )
    assert (made.lengths.isl, made.lengths.osl) == pytest.approx(lengths)
    said = [line for line in made.assumptions if "Lengths" in line or "Answers" in line or "Requests" in line]
    assert [line.startswith(says) for line in said] == ([True] if says else [])
    assert made.demand == Demand(3e9, 1e9)


def test_list_prices_are_in_their_own_currency() -> None:
    plan = plan_serving(replace(ASKED, layout=LAYOUTS["mixed"], price="2€/h", prices="0.1,0.5,2 EUR"))
    cells = [cell for row in one(verbs.sections(plan, "en"), Table, "Money").rows for cell in row]
    assert W.money(2.0, "EUR") in cells
    assert not any("$" in cell for cell in cells)


def test_the_best_layouts_stand_beside_the_chosen_one_with_intervals(plan: ServingPlan) -> None:
    assert [section for section in verbs.sections(plan, "en") if isinstance(section, Table)
            and section.title == "Best layouts"] == []  # one was given: nothing lost  # fmt: skip
    found = plan_serving(replace(ASKED, gpus=64))
    told = found.to_json()["layouts"]
    assert len(told) == 10
    assert [one["per_gpu"] for one in told] == sorted((one["per_gpu"] for one in told), reverse=True)
    table = one(verbs.sections(found, "en"), Table, "Best layouts")
    chosen = [row for row in table.rows if row[-1] == "chosen"]
    assert [row[0] for row in chosen] == [one["layout"] for one in told if one["chosen"]]
    assert len(chosen) == 1
    for row, layout in zip(table.rows, told, strict=True):
        assert layout["low"] < layout["per_gpu"] < layout["high"]
        assert row[:2] == [layout["layout"], str(layout["gpus_per_unit"])]
        assert row[3:5] == [W.plain(layout["per_gpu"]), f"{W.plain(layout['low'])} – {W.plain(layout['high'])}"]
    after = table.rows[table.rows.index(chosen[0]) + 1 :]
    assert all(re.fullmatch(r"[\d.]+ ?% slower|[\d.]+ times slower|as fast", row[-1]) for row in after)
    assert "0.0% slower" not in {row[-1] for row in table.rows}


def test_a_small_demand_is_shown_beside_what_was_considered_for_it() -> None:
    small = plan_serving(replace(ASKED, gpus=None, demand=Demand(2e8, 5e7), isl=None, osl=300, hit=0.0))
    assert sum(one["chosen"] for one in small.to_json()["layouts"]) == 1
