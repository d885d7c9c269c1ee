"""A budget's report: every figure of its head, tables and charts is the one that the plan computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.budget.made import BILLION, plan
from tests.plan.show.shown import figures, notes, one, rows

from centime.plan import verbs
from centime.plan.budget.plan import BudgetPlan
from centime.plan.budget.report import SHOWN, amount, megawatts
from centime.plan.show.language import writer
from centime.plan.show.sections import LineChart, Section, StackedBars, Table, Tornado

W = writer("en")


@pytest.fixture(scope="module")
def made() -> BudgetPlan:
    return plan(replace(BILLION, of="meta"))


@pytest.fixture(scope="module")
def told(made: BudgetPlan) -> dict[str, Any]:
    return made.to_json()


@pytest.fixture(scope="module")
def shown(made: BudgetPlan) -> list[Section]:
    return verbs.sections(made, "en")


def test_amounts_have_a_scale_from_a_thousand_on() -> None:
    assert [amount(W, value, "USD") for value in (-12.3e9, 1000, 999.99, -2.5)] == [
        "-$12.3 B",
        "$1.00 K",
        "$999.99",
        "-$2.50",
    ]
    assert megawatts(W, 2150) == "2.15 GW"


def test_the_head(shown: list[Section], told: dict[str, Any]) -> None:
    head, bands = figures(shown), told["interval"]

    def interval(key: str, form: Any) -> str:
        return f"80 %: {form(bands[key][0])} to {form(bands[key][2])}"

    def money(value: float) -> str:
        return amount(W, value, "USD")

    def watts(value: float) -> str:
        return W.watts(value * 1e6)

    assert head["GPUs"] == (W.count(told["gpus"]), interval("gpus", W.count))
    assert head["All-in, per GPU"][0] == money(told["capex_per_gpu_usd"]) == money(told["capex_usd"] / told["gpus"])
    assert head["Facility power"] == (watts(told["megawatts"]), interval("megawatts", watts))
    tokens = told["output_tokens_per_day"]
    assert head["Tokens generated a day"] == (W.count(tokens), interval("output_tokens_per_day", W.count))
    runs = head["Training runs of deepseek-v3 a year"]
    assert (
        runs[0] == W.count(told["runs"]["deepseek-v3"]["per_year"]) == W.count(told["train_gpu_hours_per_year"] / 1e6)
    )
    assert head["NPV"] == (money(told["npv_usd"]), interval("npv_usd", money))


def test_the_investors_table(shown: list[Section], told: dict[str, Any]) -> None:
    found, bands = rows(shown, "For the investor"), told["interval"]

    def share(value: float) -> str:
        return f"{value:.1%}"

    def between(key: str, form: Any) -> str:
        return f"{form(bands[key][0])} – {form(bands[key][2])}"

    def money(value: float) -> str:
        return amount(W, value, "USD")

    hour = "owner_cost_per_gpu_hour_usd"
    rented = "npv_rented_out_usd"
    assert found == {
        "NPV at 10%": [money(told["npv_usd"]), between("npv_usd", money)],
        "IRR": [share(told["irr"]), between("irr", share)],
        "Payback": [f"{told['payback_years']:.1f} years", ""],
        "Load at which the NPV is zero": [share(told["break_even_load"]), between("break_even_load", share)],
        "NPV if rented out instead": [money(told[rented]), between(rented, money)],
        "Owner's cost of a GPU-hour": [money(told[hour]), between(hour, money)],
        "Rent of a GPU-hour": [money(told["rent_usd_per_gpu_hour"]), ""],
        "Owning beats renting from a use of": [share(told["rent_or_own_break_even_utilisation"]), ""],
        "Rent saved pays a GPU used 85% after": [f"{told['rent_or_own_break_even_months']:.0f} months", ""],
        "Rent saved pays a GPU always used after": [found["Rent saved pays a GPU always used after"][0], ""],
        "Owner's cost of 1M tokens generated": [money(told["owner_cost_per_m_output_usd"]), ""],
        "List price of the same, with prompts": [money(told["inputs_used"]["token_revenue"]["mid"]), ""],
    }
    always = int(found["Rent saved pays a GPU always used after"][0].split()[0])
    assert 0 < always < told["rent_or_own_break_even_months"]


def test_a_fleet_that_serves_nothing_has_no_price_of_tokens() -> None:
    made = plan(replace(BILLION, train=0.2, serve=0.0))
    found = rows(verbs.sections(made, "en"), "For the investor")
    assert found["Load at which the NPV is zero"] == ["none", ""]
    assert not [name for name in found if "okens" in name]
    assert found["Payback"] == ["never", ""]
    assert found["IRR"][0] == ("none" if made.base.irr is None else f"{made.base.irr:.1%}")
    assert made.to_json()["owner_cost_per_m_output_usd"] is None


def test_a_rent_that_never_pays_is_said() -> None:
    found = rows(verbs.sections(plan(replace(BILLION, rent=0.5)), "en"), "For the investor")
    assert found["Rent saved pays a GPU used 85% after"] == ["not within ten years", ""]


def test_the_mixes(shown: list[Section], told: dict[str, Any]) -> None:
    assert one(shown, Table, "Mixes of training and serving").head[1:] == ["deepseek-v3, a year", "tokens/day", "NPV"]
    found = rows(shown, "Mixes of training and serving")
    for mix, cells in zip(told["frontier"], found.values(), strict=True):
        runs, tokens = mix["runs_per_year"]["deepseek-v3"], mix["output_tokens_per_day"]
        assert cells == [W.count(runs), W.count(tokens), amount(W, mix["npv_usd"], "USD")]
    assert list(found) == [f"{mix['train_share']:.0%}" for mix in told["frontier"]]


def test_mixes_are_evenly_apart_and_use_every_hour(told: dict[str, Any]) -> None:
    mixes = told["frontier"]
    assert [mix["train_share"] for mix in mixes] == pytest.approx([i / (len(mixes) - 1) for i in range(len(mixes))])
    most = mixes[-1]["runs_per_year"]["deepseek-v3"]
    for mix in mixes:
        share = mix["train_share"]
        assert mix["runs_per_year"]["deepseek-v3"] == pytest.approx(share * most)
        assert mix["output_tokens_per_day"] == pytest.approx((1 - share) * mixes[0]["output_tokens_per_day"])


def test_the_charts_draw_the_plans_numbers(shown: list[Section], told: dict[str, Any], made: BudgetPlan) -> None:
    ((_, parts),) = one(shown, StackedBars, "Where the capex goes").bars
    split = told["capex_split_usd"]
    assert list(parts.values()) == [split[name] for name in ("chips", "server_network_storage", "building_power")]
    assert sum(parts.values()) + split["not_ai"] == pytest.approx(told["capex_usd"])
    books = one(shown, LineChart, "Book value of a GPU with its server and network").lines
    drawn = [[y for _, y in line.points] for line in books]
    assert drawn == list(told["depreciation_per_gpu_usd"].values())
    assert all([x for x, _ in line.points] == [0, 1, 2, 3, 4, 5] for line in books)
    tornado = one(shown, Tornado, "What the NPV depends on most")
    assert tornado.base == told["npv_usd"]
    assert [(lever.low, lever.high) for lever in tornado.levers] == [(s.low, s.high) for s in made.swings[:SHOWN]]


def test_what_was_announced_buys_at_this_plans_cost(shown: list[Section], told: dict[str, Any]) -> None:
    found = rows(shown, "Meta: announced and actual")
    assert len(found) == len(told["actuals"])
    each, power = told["gpus"] / told["capex_usd"], told["megawatts"] / told["capex_usd"]
    for row, cells in zip(told["actuals"], found.values(), strict=True):
        ends = [value * 1e9 for value in sorted({row["low"], row["high"]})]
        assert cells == [
            row["period"],
            " – ".join(amount(W, value, "USD") for value in ends),
            " – ".join(W.count(value * each) for value in ends),
            " – ".join(W.watts(value * power * 1e6) for value in ends),
        ]
    lines = notes(shown, "")
    assert [line.partition(":")[0] for line in lines] == [row["id"] for row in told["actuals"]]
    assert all(row["source"] in line and row["note"] in line for row, line in zip(told["actuals"], lines, strict=True))


def test_every_input_is_shown_with_its_interval_and_its_source(shown: list[Section], told: dict[str, Any]) -> None:
    def digits(value: float) -> str:
        return f"{value:.3g}" if value < 1000 else W.count(value)

    given = {of["label"]: of for of in told["inputs_used"].values()}
    assert rows(shown, "Inputs") == {
        label: [digits(of["mid"] if of[end] is None else of[end]) for end in ("low", "mid", "high")]
        for label, of in given.items()
    }
    assert notes(shown, "Sources") == [f"{label}: {of['source']}" for label, of in given.items()]
