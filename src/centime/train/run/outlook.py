"""What a run is said to take, for the reader and for the bill: before its first step, and once more soon after."""

from __future__ import annotations

from typing import Any

from centime.ledger import Book
from centime.train.forecast import Forecast, stage_seconds
from centime.train.run.evaluation import held_out
from centime.train.run.setup import Setup
from centime.train.run.show import in_words, show_forecast
from centime.train.stages import StagePlan

CORRECTED = ("tokens", "seconds", "seconds_low", "seconds_high", "device_hours", "cost")  # what the second one says


class Outlook:
    """The forecasts of one new run, on the terminal and in the book."""

    def __init__(self, setup: Setup, book: Book, startup_seconds: float, timing_seconds: float) -> None:
        """startup_seconds, timing_seconds: what is spent before the first step, and on the bill."""
        self._setup, self._book = setup, book
        self._spent = (startup_seconds, timing_seconds)
        self._said: dict[str, Any] = {}

    def begin(self, stages: list[StagePlan], forecast: Forecast, peak_flops: float) -> None:
        """The forecast before the first step, beside what the machine's profile says, if there is one."""
        setup, by_profile = self._setup, self._by_profile(stages)
        show_forecast(setup, stages, forecast, peak_flops, sum(by_profile.values()))
        self._said = forecast.as_plan(*self._spent)
        if setup.profile is not None:
            self._said["by_profile"] = {
                "made": setup.profile.made,
                "seconds": sum(self._spent) + sum(by_profile.values()),
                "stages": by_profile,
            }
        self._book.set_plan(setup.folder.path, self._said)

    def correct(self, forecast: Forecast, after_seconds: float, later: str | None) -> None:
        """The forecast by the first seconds of steps; the one before it stays beside it. later: a stage whose first
        seconds they are, where it is not the run's first one; that is said and no more."""
        where = f" of {later}" if later else ""
        self._setup.say(f"Forecast after {after_seconds:.0f} s{where}: {in_words(forecast)}.")
        if later is not None:
            return
        plan = forecast.as_plan(*self._spent)
        self._said["corrected"] = {key: plan[key] for key in CORRECTED} | {"after_seconds": after_seconds}
        self._book.set_plan(self._setup.folder.path, self._said)

    def _by_profile(self, stages: list[StagePlan]) -> dict[str, float]:
        """Seconds of each stage by the machine's profile; empty without one."""
        setup, made = self._setup, {}
        for plan, micro_batch in zip(stages, setup.micro_batches, strict=True):
            if setup.profile is not None:
                text, every = held_out(setup.recipe, plan), setup.recipe.run.evaluate_every
                rows = text.rows_between(plan.schedule.steps, every) + text.rows_last if text else 0
                made[plan.name] = stage_seconds(setup.profile, plan, micro_batch, setup.recipe.optimizer, rows)
        return made
