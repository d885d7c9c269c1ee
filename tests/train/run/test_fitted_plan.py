"""The stages under a budget, at costs that the test says: how they shrink, grow back, and when each must be over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from centime import recipe as recipes
from centime.errors import UserError
from centime.train.forecast import StepSeconds
from centime.train.run.fitted import FINISH_SHARE, STAGE_GRACE, FittedPlan
from centime.train.run.setup import Setup

SECOND = StepSeconds(0.0, 1.0, 0.1)  # a micro-batch, of which each step here has one


@pytest.fixture
def recipe(small: Path, tmp_path: Path) -> Path:
    """Of three stages with steps of one size each."""
    path = tmp_path / "recipe.toml"
    path.write_text(small.read_text().replace("batch_size_start = 4", "").replace("batch_ramp_until = 0.3", ""))
    return path


def fitted(
    recipe: Path, budget: str | None, began: float = 0.0, cost: StepSeconds = SECOND, **train: object
) -> FittedPlan:
    """began: seconds before now."""
    asked = recipes.read(recipe)
    asked = asked.model_copy(update={"train": asked.train.model_copy(update=train)})
    setup = Setup(asked, recipe.parent / "run", resume=False, budget=budget, price="$3600/h")
    return FittedPlan(setup, [cost] * 3, 77, time.monotonic() - began)


def steps(plan: FittedPlan) -> list[int]:
    return [stage.schedule.steps for stage in plan.stages]


def test_without_a_budget_every_stage_is_as_long_as_the_recipe_says(recipe: Path) -> None:
    plan = fitted(recipe, None)
    plan.begin()
    assert plan.factors == [1, 1, 1]
    assert steps(plan) == [16, 4, 6]
    assert plan.end == float("inf")
    assert not plan.refit(1, 0, 0.0)
    assert (plan.forecast.memory_bytes, plan.forecast.devices) == (77, 1)


@pytest.mark.parametrize("budget", ["18s", "$18"])
def test_a_budget_is_a_ceiling_that_every_stage_shares(recipe: Path, budget: str) -> None:
    plan = fitted(recipe, budget)
    plan.begin()
    assert plan.factors[0] < 1
    assert plan.factors == [plan.factors[0]] * 3
    assert 12 < plan.forecast.seconds < 18 + 1.5, "steps are whole: half of one each is rounded up"


@pytest.mark.parametrize(("stated", "grows"), [(4096, False), (None, True)])
def test_a_recipe_of_open_length_fills_its_budget_with_its_first_stage(
    recipe: Path, stated: int | None, grows: bool
) -> None:
    plan = fitted(recipe, "3000000s", tokens=stated)
    plan.begin()
    assert plan.factors[1:] == [1, 1]
    assert (plan.factors[0] > 1) == grows
    budget = 3e6 * (1 - FINISH_SHARE)
    assert not grows or plan.forecast.seconds == pytest.approx(budget, rel=1e-3)
    before = plan.factors[0]
    plan.correct(0, 10, 5.0)  # twice as fast as forecast
    assert plan.refit(0, 10, 5.0) == grows
    assert plan.factors[0] == (pytest.approx(2 * before, rel=1e-3) if grows else 1)
    plan.costs = [StepSeconds(0.0, 0.25, 0.1)] * 3
    assert not plan.refit(1, 0, 0.0), "a later stage is never longer than the recipe's own"
    assert plan.factors[1:] == [1, 1]


def test_a_begun_stage_keeps_the_steps_that_it_has_done(recipe: Path) -> None:
    plan = fitted(recipe, "30s")
    plan.begin()
    plan.began -= 1000.0
    assert plan.refit(0, 7, 0.0)
    assert steps(plan) == [8, 1, 1], "the step that is under way, and one of each later stage"
    assert plan.refit(1, 0, 0.0) is False, "there is nothing left to shrink"


def test_a_stage_whose_steps_grow_keeps_its_length_once_begun(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(small.read_text())
    plan = fitted(path, "60s")
    plan.begin()
    before = list(plan.factors)
    plan.began -= 1000.0
    assert not plan.refit(0, 7, 0.0)
    assert plan.factors == before
    assert plan.refit(0, 0, 0.0)


def test_a_measured_pace_takes_the_place_of_the_timed_one(recipe: Path) -> None:
    plan = fitted(recipe, "300s", cost=StepSeconds(0.5, 1.0, 0.1))
    plan.begin()
    first, *others = plan.forecast.stages
    assert plan.correct(0, 4, 12.0) == pytest.approx(2.0)
    assert plan.costs == [StepSeconds(1.0, 2.0, 0.05), *[StepSeconds(0.5, 1.0, 0.1)] * 2]
    assert plan.forecast.stages[0].seconds == pytest.approx(2 * first.seconds)
    assert plan.forecast.stages[1:] == others


def test_a_stage_must_be_over_before_what_is_left_for_the_later_ones(recipe: Path) -> None:
    plan = fitted(recipe, "1000s")
    plan.begin()
    _, second, third = plan.forecast.stages
    assert plan.end == plan.began + 1000 * (1 - FINISH_SHARE)
    fixed = [stage.fixed_seconds for stage in plan.forecast.stages]
    assert fixed[0] > 0
    assert plan.deadline(0) == pytest.approx(plan.end - STAGE_GRACE * (second.seconds + third.seconds) - fixed[0])
    assert plan.deadline(2) == pytest.approx(plan.end - fixed[2])


@pytest.mark.parametrize("budget", ["3s", "$3"])
def test_what_is_too_little_is_said_with_what_would_do(recipe: Path, budget: str) -> None:
    """Ten of the twenty-six steps and what is evaluated are the least, and a fifth more: the timing may be off."""
    plan = fitted(recipe, budget, began=1.0)
    match = r"start-up and timing took [\d.]+s; what is left buys 0 of 26 steps\. The least sensible is \$?2\d\."
    with pytest.raises(UserError, match=match) as refused:
        plan.begin()
    least = str(refused.value).partition("The least sensible is ")[2].partition(";")[0]
    enough = fitted(recipe, least, began=1.0)
    enough.begin()
    assert sum(steps(enough)) >= 10


@pytest.mark.parametrize("tokens", [1500, 4000, 10**9])
def test_a_budget_in_tokens_is_never_passed(recipe: Path, tokens: int) -> None:
    plan = fitted(recipe, f"{tokens}-tokens")
    plan.begin()
    taken = sum(stage.tokens for stage in plan.stages)
    assert taken <= tokens
    assert taken > 0.6 * min(tokens, 4096 + 1024)
