"""The stages as long as a budget lets them be, and what they will take: at the start, and as the run goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from centime.errors import UserError
from centime.train.engine import from_first
from centime.train.forecast import (
    INFINITE,
    Forecast,
    StageAmounts,
    StageForecast,
    StepSeconds,
    fit,
    least_factor,
    least_seconds,
    smoke,
    stage_forecast,
    steps_bought,
)
from centime.train.run.evaluation import held_out
from centime.train.run.setup import Setup
from centime.train.stages import StagePlan
from centime.units import format_count, format_duration, format_money

FINISH_SHARE = 0.02  # of a budget in time or money: kept for the last sample and the saving of the model
STAGE_GRACE = 0.5  # share of the later stages' planned time that a slow stage may use up before it is cut short
MARGIN = 1.2  # of the least sensible budget over what the least steps take: the timing is not exact
TRIES = 8  # at shrinking a budget in tokens: steps are whole, so the first fit may lie above it


class FittedPlan:
    """A run's stages under its budget; every rank has the same. `factors` is each stage's share of its own length."""

    def __init__(self, setup: Setup, costs: Sequence[StepSeconds], memory_bytes: int, began: float) -> None:
        """began: time.monotonic() at which the budget's time began."""
        self.setup, self.costs, self.memory_bytes, self.began = setup, list(costs), memory_bytes, began
        self.factors = list(setup.factors or [1.0] * len(setup.stages))
        self.stages = setup.stages
        self._own: list[StageAmounts] | None = None
        self.forecast = self._forecast()

    @property
    def end(self) -> float:
        """time.monotonic() at which training must be over for the budget to hold."""
        return self.began + self.setup.allowed_seconds * (1 - FINISH_SHARE)

    def deadline(self, stage: int) -> float:
        """time.monotonic() at which a stage has used its share of the budget, and some of what is the later ones'."""
        later = sum(each.seconds for each in self.forecast.stages[stage + 1 :])
        return self.end - STAGE_GRACE * later - self.forecast.stages[stage].fixed_seconds

    def begin(self) -> None:
        """Fits a new run. Raises UserError where the budget buys too little to be worth a run."""
        setup, own = self.setup, self._amounts()
        left = from_first(self.end - time.monotonic(), setup.ranks)
        self._require_sense(left, own)
        self._set(fit(own, left, setup.allowed_tokens, setup.open_ended))
        for _ in range(TRIES):
            over = sum(plan.tokens for plan in self.stages) / setup.allowed_tokens
            if over <= 1:
                return
            self._set([0.999 * factor / over for factor in self.factors])
        if not smoke():
            least = sum(plan.tokens for plan in self.setup.plan([0.0] * len(self.stages)))
            raise UserError(
                f"A budget of {setup.budget} does not pay for one step of every stage; that takes "
                f"{format_count(least)} tokens. Give more, or lower the stages' batch_size."
            )

    def refit(self, stage: int, steps: int, done_seconds: float) -> bool:
        """What is left of a budget in time or money, over what is left to do; whether a stage's length has changed.

        stage, steps: where the run is; done_seconds: what those steps of the stage took. Stages shrink, and grow up to
        the recipe's own length (the first one beyond it, where the recipe leaves it open). A stage that has begun
        keeps its length where its batch size grows: its rows would be counted otherwise.
        """
        setup = self.setup
        if setup.allowed_seconds == INFINITE:
            return False
        before = list(self.factors)
        if steps and getattr(self.stages[stage].stage, "batch_size_start", None) is not None:
            return False
        own = self._amounts()[stage:]
        left = from_first(self.end - time.monotonic(), setup.ranks) + done_seconds
        found = fit(own, left, INFINITE, setup.open_ended and stage == 0)
        if steps:
            found[0] = max(found[0], (steps + 1) / own[0].steps)
        self._set([*self.factors[:stage], *found])
        return self.factors != before

    def correct(self, stage: int, done: int, seconds: float) -> float:
        """Takes in what `done` steps of a stage really took; that over what they were forecast to take."""
        plan, cost, setup = self.stages[stage], self.costs[stage], self.setup
        per_rank = -(-plan.schedule.rows[:done] // setup.ranks.world)
        micro_batches = int((-(-per_rank // setup.micro_batches[stage])).sum())
        ratio = from_first(seconds / (done * cost.once + micro_batches * cost.micro_batch), setup.ranks)
        self.costs[stage] = cost.times(ratio, cost.error / 2)
        self._own = None
        self.forecast = self._forecast()
        return ratio

    def _set(self, factors: list[float]) -> None:
        self.factors = from_first(factors, self.setup.ranks)
        self.stages = self.setup.plan(self.factors)
        self.forecast = self._forecast()

    def _forecast(self) -> Forecast:
        made = [self._stage(plan, i) for i, plan in enumerate(self.stages)]
        return Forecast(made, self.memory_bytes, self.setup.ranks.world, self.setup.price)

    def _stage(self, plan: StagePlan, index: int) -> StageForecast:
        setup = self.setup
        text = held_out(setup.recipe, plan)
        between = text.rows_between(plan.schedule.steps, setup.recipe.run.evaluate_every) if text else 0
        last = (text.rows_last if text else 0) + plan.kind.forward_rows(plan.rows)
        return stage_forecast(plan, self.costs[index], setup.micro_batches[index], setup.ranks.world, between, last)

    def _amounts(self) -> list[StageAmounts]:
        """The stages at the length that the recipe states."""
        if self._own is None:
            whole = self.setup.plan(None)
            made = [self._stage(plan, i) for i, plan in enumerate(whole)]
            self._own = [StageAmounts(s.steps, s.tokens, s.seconds - s.fixed_seconds, s.fixed_seconds) for s in made]
        return self._own

    def _require_sense(self, left: float, own: list[StageAmounts]) -> None:
        setup = self.setup
        if setup.allowed_seconds == INFINITE:
            return
        factors = fit(own, left)
        if min(factors) >= least_factor(own):
            return
        spent = time.monotonic() - self.began
        least = math.ceil(MARGIN * (spent + least_seconds(own)) / (1 - FINISH_SHARE))
        price, budget = setup.price, setup.budget
        assert budget is not None
        amount = format_duration(least)
        if budget.kind == "money" and price is not None:
            amount = format_money(least / 3600 * setup.ranks.world * price.per_device_hour, price.currency)
        raise UserError(
            f"A budget of {budget} is too small: start-up and timing took {format_duration(spent)}; what is left buys "
            f"{steps_bought(own, factors):,} of {sum(stage.steps for stage in own):,} steps. "
            f"The least sensible is {amount}; give more, or a smaller model."
        )
