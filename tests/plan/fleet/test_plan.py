"""Fleets: what must hold for any scenario, and what shipped ones give."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.fleet.small import fixed, plan, small

from centime.plan import verbs
from centime.plan.fleet.plan import from_inputs, plan_fleet
from centime.plan.fleet.scenario_file import shipped


def test_the_first_month_by_hand() -> None:
    plan = fixed(failures__failures_per_gpu_year=0)
    flat = 10e9 / 86400 / 8000 + 2e9 / 86400 / 1500  # 14.47 + 15.43 GPUs
    peak = 5 / (sum(small().demand.hourly) / 24)
    assert plan.series["gpus_needed"].mid[0] == -(-flat * peak // 8) * 8
    hour_cost = plan.series["cost"].mid[0] / plan.series["gpus_owned"].mid[0] / (365.25 * 2)
    assert hour_cost == pytest.approx(3.0)
    assert plan.series["megawatts"].mid[0] == pytest.approx(plan.series["gpus_owned"].mid[0] * 1.4 * 1.1 / 1000)


def test_growth_and_software_move_the_need_apart() -> None:
    plan = fixed(elasticity__price_elasticity=0, failures__failures_per_gpu_year=0, serving__gpus_per_node=1)
    needed = plan.series["gpus_needed"].mid
    assert needed[12] / needed[0] == pytest.approx(2 / 1.5, rel=0.03)
    assert plan.series["tokens_per_day"].mid[12] / plan.series["tokens_per_day"].mid[0] == pytest.approx(2.0)


def test_percentiles_are_in_order_everywhere() -> None:
    for band in plan().series.values():
        for low, mid, high in zip(band.low, band.mid, band.high, strict=True):
            assert low <= mid <= high


@given(st.floats(1, 5), st.sampled_from(["input_tokens_per_day", "output_tokens_per_day"]))
@settings(max_examples=10, deadline=None)
def test_more_demand_never_needs_fewer_gpus(factor: float, which: str) -> None:
    before = small().number(f"demand.{which}")
    assert before is not None
    less, more = plan(), plan(**{f"demand__{which}": before.mid * factor})
    for end in ("low", "mid", "high"):
        pairs = zip(getattr(less.series["gpus_needed"], end), getattr(more.series["gpus_needed"], end), strict=True)
        assert all(a <= b for a, b in pairs)


@given(st.floats(1, 4))
@settings(max_examples=10, deadline=None)
def test_a_dearer_hour_is_never_cheaper(factor: float) -> None:
    cheap, dear = plan(), plan(money__gpu_hour=3 * factor)
    for a, b in zip(cheap.series["cost"].mid, dear.series["cost"].mid, strict=True):
        assert a <= b * (1 + 1e-9)


def test_without_elasticity_nothing_rebounds() -> None:
    jevons = plan(elasticity__price_elasticity=0).jevons
    assert jevons.rebound == pytest.approx((0, 0, 0), abs=1e-9)
    assert jevons.share_above == 0
    assert all(ratio < 1 for ratio in jevons.gpus_ratio)


def test_beyond_the_threshold_cheaper_means_more_gpus() -> None:
    jevons = plan(elasticity__price_elasticity=1.4, elasticity__pass_through=0.8).jevons
    assert jevons.threshold == pytest.approx(1.25)
    assert jevons.share_above == 1
    assert jevons.gpus_ratio[0] > 1


def test_elasticity_raises_demand_as_tokens_get_cheaper() -> None:
    stiff, elastic = fixed(elasticity__price_elasticity=0), fixed(elasticity__price_elasticity=1)
    assert elastic.series["tokens_per_day"].mid[-1] > stiff.series["tokens_per_day"].mid[-1]
    assert elastic.series["tokens_per_day"].mid[0] == stiff.series["tokens_per_day"].mid[0]


def test_observed_growth_is_not_counted_twice() -> None:
    """On the median path the price falls are already in the growth that was observed."""
    plan = fixed(demand__growth_kind="observed", elasticity__price_elasticity=1.2)
    tokens = plan.series["tokens_per_day"].mid
    assert tokens[12] / tokens[0] == pytest.approx(2.0)


def test_a_supply_cap_leaves_a_shortfall_and_unserved_tokens() -> None:
    capped = fixed(demand__growth_per_year=6, supply__gpus_per_month=8)
    assert capped.series["shortfall_gpus"].mid[-1] > 0
    assert 0 < capped.series["unserved_share"].mid[-1] < 1
    assert max(capped.series["gpus_ordered"].mid) <= 8
    by_memory = fixed(demand__growth_per_year=6, supply__memory_gb_per_month=8 * 141)
    assert by_memory.series["gpus_owned"].mid == pytest.approx(capped.series["gpus_owned"].mid)


def test_lead_time_is_planned_for_and_surprises_are_not() -> None:
    sure = fixed(supply__lead_time_months=6, elasticity__price_elasticity=0, demand__growth_per_year=3)
    assert max(sure.series["unserved_share"].mid) < 0.01
    unsure = plan(supply__lead_time_months=6, demand__growth_per_year={"low": 1.0, "mid": 2.0, "high": 12.0})
    assert unsure.series["shortfall_gpus"].high[-1] > 0
    faster = plan(supply__lead_time_months=1, demand__growth_per_year={"low": 1.0, "mid": 2.0, "high": 12.0})
    assert faster.series["shortfall_gpus"].high[-1] < unsure.series["shortfall_gpus"].high[-1]


def test_failures_need_spares() -> None:
    none, many = (
        fixed(failures__failures_per_gpu_year=rate, serving__gpus_per_node=1, elasticity__price_elasticity=0)
        for rate in (0.0, 1.0)
    )
    assert many.series["gpus_needed"].mid[-1] > none.series["gpus_needed"].mid[-1]


def test_owned_cash_adds_up() -> None:
    owned = fixed(money__mode="own", money__capex_per_gpu=50_000, money__price_falls_per_year=0)
    assert owned.totals["capex"][1] == pytest.approx(sum(owned.series["capex"].mid))
    bought = owned.series["gpus_owned"].mid[0] + sum(owned.series["gpus_ordered"].mid)
    assert owned.totals["capex"][1] == pytest.approx(50_000 * bought)
    power = owned.series["megawatts"].mid[5] * 1000 * 365.25 * 2 * 0.08
    upkeep = owned.series["gpus_owned"].mid[5] * 50_000 * 0.03 / 12
    assert owned.series["cost"].mid[5] == pytest.approx(power + upkeep)


def test_owned_gpus_retire() -> None:
    short = fixed(money__mode="own", money__capex_per_gpu=50_000, money__life_years=1, demand__growth_per_year=1,
                  efficiency__software_per_year=1, months=36)  # fmt: skip
    long = fixed(money__mode="own", money__capex_per_gpu=50_000, money__life_years=9, demand__growth_per_year=1,
                 efficiency__software_per_year=1, months=36)  # fmt: skip
    assert sum(short.series["gpus_ordered"].mid) > sum(long.series["gpus_ordered"].mid)
    assert max(short.series["unserved_share"].mid) < 0.01


def test_a_new_generation_is_bought_once_it_is_cheaper_per_token() -> None:
    generation = {"chip": "b200", "available": "2027-01", "speed": 4, "gpu_hour": 5}
    newer = fixed(generations=[generation], months=36, demand__growth_per_year=4)
    older = fixed(months=36, demand__growth_per_year=4)
    assert newer.series["gpus_needed"].mid[-1] < older.series["gpus_needed"].mid[-1]
    assert newer.series["token_cost_index"].mid[-1] < older.series["token_cost_index"].mid[-1]
    dear = fixed(generations=[generation | {"gpu_hour": 50}], months=36, demand__growth_per_year=4)
    assert dear.series["gpus_needed"].mid == older.series["gpus_needed"].mid


def test_night_nodes_go_to_training_and_are_not_paid_by_serving() -> None:
    kept, lent = fixed(serving__night_reuse=False), fixed(serving__night_reuse=True)
    assert lent.series["cost"].mid[0] < kept.series["cost"].mid[0]
    assert lent.series["training_gpu_hours"].mid[0] > 0
    assert kept.series["training_gpu_hours"].mid[0] == 0
    assert max(lent.day) > min(lent.day)


def test_the_same_seed_gives_the_same_plan_and_a_card_rebuilds_it() -> None:
    first = plan()
    assert first.to_json() == plan().to_json()
    assert first.to_json() != plan_fleet(small(), draws=40, seed=4).to_json()
    again = from_inputs(json.loads(json.dumps(first.inputs())))
    same = ("months", "hours", "jevons", "totals", "drives")
    assert {key: again.to_json()[key] for key in same} == {key: first.to_json()[key] for key in same}


def test_json_is_json_and_sections_speak_both_languages() -> None:
    made = plan()
    json.dumps(made.to_json())
    for lang in ("en", "fr"):
        assert verbs.title(made, lang)
        assert len(verbs.sections(made, lang)) > 8
    assert verbs.title(made, "en") != verbs.title(made, "fr")


def test_day_6_comes_out_of_its_demand_and_its_hardware() -> None:
    """Published: 226.75 nodes on average and 278 at the peak, $87,072 a day at $2 an hour (M047, M048)."""
    made = plan_fleet("deepseek-day6", draws=200)
    told = made.to_json()
    assert told["nodes_mean_start"] == pytest.approx(226.75, rel=0.15)
    assert told["nodes_peak_start"] == pytest.approx(278, rel=0.15)
    assert told["cost_per_day_start"] == pytest.approx(87_072, rel=0.15)
    node = made.scenario.serving.gpus_per_node
    assert made.series["gpus_serving"].low[0] / node < 226.75 < made.series["gpus_serving"].high[0] / node
    assert min(made.day) / max(made.day) == pytest.approx(68 / 278, rel=0.05)  # the emptiest hour of the chart


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_are_planned_from_predicted_speeds(name: str) -> None:
    made = plan_fleet(name, draws=50)
    last = {key: band.mid[-1] for key, band in made.series.items()}
    assert last["gpus_needed"] > 0
    assert 0 <= last["unserved_share"] < 1
    assert any("plan serve" in source for source in made.sources)
    for point in made.scenario.demand.observed:
        index = made.scenario.index(point.month)
        assert made.series["tokens_per_day"].mid[index] == pytest.approx(point.tokens_per_day.mid, rel=0.02)


def test_chips_that_may_not_be_bought_are_not_ordered() -> None:
    """An H100 cannot be had in China: the fleet of the start stays what it is (export_rules.csv)."""
    grown = fixed(supply__region="cn", serving__chip="h100", demand__growth_per_year=5)
    assert sum(grown.series["gpus_ordered"].mid) == 0
    assert grown.series["shortfall_gpus"].mid[-1] > 0
    free = fixed(supply__region="us", serving__chip="h100", demand__growth_per_year=5)
    assert sum(free.series["gpus_ordered"].mid) > 0


def test_what_is_rented_is_given_back_and_what_is_owned_stays() -> None:
    fewer = {"demand__growth_per_year": 0.25, "elasticity__price_elasticity": 0, "failures__failures_per_gpu_year": 0}
    rented = fixed(**fewer).series["gpus_owned"].mid
    owned = fixed(money__mode="own", money__capex_per_gpu=50_000, **fewer).series["gpus_owned"].mid
    assert rented[-1] < rented[0] / 2
    assert owned == pytest.approx([owned[0]] * len(owned))
