"""A budget's inputs at the ends of what is accepted, and what the sentences about them rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.budget.made import BILLION, inputs

from centime.catalogue.chips import chip
from centime.catalogue.currencies.exchange import exchange_rate
from centime.catalogue.market import figure
from centime.errors import UserError
from centime.plan.budget.inputs import (
    GOOGLE,
    HIT_SHARE,
    MOST_USD,
    PROMPT_PER_OUTPUT,
    in_dollars,
    in_range,
    parse_split,
    rate_note,
    table,
    token_revenue,
    training_run,
)
from centime.plan.budget.notes import notes
from centime.plan.fleet.uncertain import Uncertain


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("years", (1, 20), (0, 21)),
        ("discount", (-0.49, 1.99), (-0.5, 2.0)),
        ("train", (0.0, 0.3), (-0.01, 0.31)),
        ("serve", (0.0, 0.7), (-0.01, 0.71)),
        ("capex", (0.01, 1e15), (0.0, -1.0)),
        ("chip_price", (0.01, None), (0.0, -1.0)),
        ("usd_per_kwh", (0.01, None), (0.0, -1.0)),
        ("rent", (0.01, None), (0.0, -1.0)),
        ("ramp", (0.0, 5.0), (-0.01, 5.01)),
        ("write_off", (1.0, 50.0), (0.99, 50.01)),
        ("tax", (0.0, 0.99), (-0.01, 1.0)),
        ("efficiency", (1e-6, 1e6, None), (0.0, 9e-7, 1.1e6)),
    ],
)
def test_the_ends_of_a_request(name: str, accepted: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    for value in accepted:
        assert getattr(replace(BILLION, **{name: value}), name) == value
    for value in refused:
        with pytest.raises(UserError):
            replace(BILLION, **{name: value})


def test_a_budget_may_be_as_large_as_any_and_no_larger() -> None:
    assert in_dollars(f"${MOST_USD:.0f}", "--capex") == MOST_USD
    with pytest.raises(UserError, match="beyond any budget"):
        in_dollars(f"${MOST_USD + 1:.0f}", "--capex")
    assert pytest.approx(10, rel=0.2) == MOST_USD / 1e14  # the world's product: some $110 T


@pytest.mark.parametrize(("text", "code"), [("80B$", ""), ("$2/h", ""), ("5 EUR", "EUR"), ("0.1 €/kWh", "EUR")])
def test_an_amount_of_another_currency_says_its_rate(text: str, code: str) -> None:
    note = rate_note(text)
    assert note == (f"{text} are taken for dollars at {exchange_rate(code, 'USD').sentence()}." if code else "")
    assert in_dollars("5 EUR", "--price") == 5 * exchange_rate("EUR", "USD").value


def test_a_split_may_be_all_of_one() -> None:
    assert parse_split("train=1") == (1.0, 0.0)
    assert parse_split("serve=1,train=0") == (0.0, 1.0)
    for text in ("train=1.01", "train=-0.01", "train", "serve=", ""):
        with pytest.raises(UserError, match="--split"):
            parse_split(text)


def test_a_divisor_is_above_zero_and_a_share_at_most_one() -> None:
    in_range({"serve_use": Uncertain(low=1e-9, mid=0.5, high=1.0), "upkeep": Uncertain(low=0.0, mid=0.5, high=1.0)})
    in_range({"software": Uncertain(low=0.0, mid=1.3, high=1.9)})
    with pytest.raises(UserError, match="decode is above 0; found 0"):
        in_range({"decode": Uncertain(low=0.0, mid=1.0)})
    with pytest.raises(UserError, match=r"rent_falls is a share of at most 1; found 1\.1"):
        in_range({"rent_falls": Uncertain(mid=0.5, high=1.1)})


def test_a_training_run_is_known_or_said() -> None:
    known = table()["runs"]["llama-405b"]
    assert training_run("llama-405b")[2] == known["gpus"]
    assert training_run("llama-405b=1T") == ("llama-405b", 1e12, known["gpus"])
    assert training_run("qwen3-235b=36T") == ("qwen3-235b", 36e12, 2048)
    with pytest.raises(UserError, match=r"qwen3-235b=15T\. Known: deepseek-v3"):
        training_run("qwen3-235b")


def test_a_tokens_revenue_is_its_own_price_and_its_prompts() -> None:
    """At DeepSeek's mix: 608 B tokens in and 168 B out a day, 56.3 % of the prompts cached."""
    found, prices = token_revenue(), table()["token_prices"]
    assert pytest.approx(3.62, abs=0.005) == PROMPT_PER_OUTPUT
    for end in ("low", "mid", "high"):
        of = prices[end]
        day = 168e3 * of["output"] + 608e3 * (0.563 * of["hit"] + 0.437 * of["miss"])
        assert getattr(found, end) == pytest.approx(day / 168e3)
        assert of["date"] in found.source
    assert pytest.approx(0.563) == HIT_SHARE


def test_the_chips_own_figures_are_the_middles_and_lie_within_their_ranges() -> None:
    device, found = chip("gb200"), inputs(BILLION)
    assert found["chip_price"].mid == device.purchase_usd
    assert found["kw"].mid == device.power_kw_all_in
    for name in ("chip_price", "rest_of_it", "kw", "rent"):
        low, mid, high = found[name].three
        assert mid / 2 < low < mid < high < 2 * mid, name


def test_notes_say_what_a_gpu_costs_and_how_much_of_the_market_is_served() -> None:
    found = inputs(BILLION)
    said = " ".join(map(str, notes(BILLION, chip("gb200"), found, 1e13)))
    values = {name: value.mid for name, value in found.items()}
    each = values["chip_price"] * (1 + values["rest_of_it"]) + values["kw"] * values["building"]
    assert f"a GPU costs ${each:,.0f} all-in" in said
    assert "the rack's share per GPU" in said
    assert "the bare chip's" in " ".join(
        map(str, notes(BILLION, chip("h100"), inputs(replace(BILLION, chip="h100")), 1))
    )
    assert "3.62 per token generated, 56.3% cached" in said
    *_, market = notes(BILLION, chip("gb200"), found, 1e13)
    assert market.values["share"] == pytest.approx(1e13 * 365.25 / 12 / (figure(GOOGLE).middle * 1e12), rel=1e-3)
