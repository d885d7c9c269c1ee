"""Scenarios in TOML: shipped ones with their sources, the ends of what may be asked, sentences for what is wrong."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.plan.fleet.small import SMALL, plan, small

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.fleet.plan import plan_fleet
from centime.plan.fleet.scenario_file import load, parse, shipped


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("growth_per_yaer = 2", "Did you mean 'growth_per_year'"),
        ("cache_hit_share = 1.5", "at most 0.999"),
        ("growth_per_year = {low = 3, mid = 2, high = 4}", "low 3.0 <= mid 2.0"),
        ("hourly = [1, 2]", "24 factors"),
        ('growth_kind = "guessed"', "growth_kind"),
        ("growth_per_year = 0", "must be above 0"),
        ("growth_per_year = -1", "not negative"),
        ('input_tokens_per_day = "ten"', "'ten' is not a quantity"),
        ("input_tokens_per_day = true", "is true, which does not fit"),
        ("growth_kind = true", "is true, which does not fit"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_a_sentence(text: str, words: str) -> None:
    lines = [
        line for line in SMALL.splitlines() if not line.startswith(("hourly", "growth", text.split(" ", maxsplit=1)[0]))
    ]
    index = lines.index("[demand]") + 1
    with pytest.raises(UserError) as error:
        parse("\n".join([*lines[:index], text, *lines[index:]]), "mine.toml")
    assert words in str(error.value)
    assert str(error.value).startswith("mine.toml: ")


def test_a_missing_key_says_what_it_is() -> None:
    text = SMALL.replace('input_tokens_per_day = "10B"\n', "")
    with pytest.raises(UserError, match=r"demand\.input_tokens_per_day is missing \(tokens/day of prompts"):
        parse(text, "mine.toml")


def test_no_scenario_no_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'deepseek-day6'"):
        load("deepseek-day7")
    with pytest.raises(UserError, match="cannot be read"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("name = [")
    with pytest.raises(UserError, match="is not TOML"):
        load(str(tmp_path / "bad.toml"))
    with pytest.raises(UserError, match="--draws"):
        plan_fleet(small(), draws=0)
    with pytest.raises(UserError, match="--years"):
        plan_fleet(small(), years=-1)
    with pytest.raises(UserError, match="no chip called"):
        plan_fleet(small(serving__chip="h2000"), draws=1)


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_say_where_every_number_comes_from(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    text = files("centime.catalogue").joinpath(f"scenarios/{name}.toml").read_text("utf-8")
    stated = tomllib.loads(text)
    assert scenario.demand.hourly_source
    for path, value in scenario.numbers().items():
        node: Any = stated
        for part in path.split("."):
            node = (node[int(part)] if isinstance(node, list) else node.get(part)) if node else None
        assert node is None or value.source, f"{path} has no source"


@pytest.mark.parametrize(
    "change",
    [
        {"months": 1},
        {"months": 240},
        {"supply__gpus_per_month": 0},
        {"supply__lead_time_months": 60},
        {"start_gpus": 0},
        {"supply__region": "cn", "serving__chip": "h100"},
        {"demand__input_tokens_per_day": 0},
        {"elasticity__pass_through": 0},
        {"demand__growth_fades_per_year": 1},
        {"money__mode": "own", "money__life_years": 0.01},
        {
            "demand__observed": [
                {"month": "2020-01", "tokens_per_day": 1e9},
                {"month": "2030-01", "tokens_per_day": 1e12},
            ]
        },
    ],
)
def test_the_ends_of_what_may_be_asked_give_finite_figures(change: dict[str, Any]) -> None:
    made = plan(draws=10, **change)
    assert "NaN" not in json.dumps(made.to_json(), allow_nan=False)
    assert verbs.sections(made, "en")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"money__price_falls_per_year": 1}, "at most 0.99"),
        ({"power__pue": 0.9}, "at least 1"),
        ({"serving__input_tokens_per_s_per_gpu": 0}, "above 0"),
        ({"failures__failures_per_gpu_year": 100, "failures__repair_days": 5}, "GPUs out"),
        ({"money__price_date": "2026-13"}, "no date"),
        ({"demand__input_tokens_per_day": 0, "demand__output_tokens_per_day": 0}, "no tokens"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        small(**change)


@pytest.mark.parametrize(
    ("path", "least", "most"),
    [
        ("demand__cache_hit_share", 0.0, 0.999),
        ("demand__growth_per_year", 1e-9, 1e6),
        ("demand__growth_fades_per_year", 0.0, 1.0),
        ("serving__utilisation_limit", 1e-9, 1.0),
        ("serving__headroom", 0.0, 10.0),
        ("efficiency__software_per_year", 1e-9, 1e3),
        ("elasticity__price_elasticity", 0.0, 10.0),
        ("elasticity__pass_through", 0.0, 1.0),
        ("supply__lead_time_months", 0.0, 120.0),
        ("failures__scrapped_per_year", 0.0, 0.99),
        ("power__pue", 1.0, 10.0),
        ("money__price_falls_per_year", 0.0, 0.99),
        ("money__upkeep_per_year", 0.0, 1.0),
    ],
)
def test_a_number_may_be_at_its_bounds_and_not_beyond(path: str, least: float, most: float) -> None:
    for value in (least, most):
        made = small(**{path: value}).number(path.replace("__", "."))
        assert made is not None
        assert made.mid == value
    for value in (least - 1e-9, most * (1 + 1e-9)):
        with pytest.raises(UserError, match=path.rpartition("__")[2]):
            small(**{path: value})


def test_nothing_fails_unless_it_is_said_to() -> None:
    text = re.sub(r"\[failures\][^\[]*", "", SMALL)
    assert parse(text, "sound").failures.failures_per_gpu_year.mid == 0
