"""What there is for a training run, `--budget` and `--deadline`: read, and held against what a plan takes."""

from __future__ import annotations

import datetime
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

from centime.catalogue.currencies.exchange import converted
from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.messages import Amount
from centime.plan.training.plan import TrainingPlan
from centime.plan.training.request import TrainingRequest
from centime.units import parse_money

DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
LONGEST = 36_525.0  # days, a hundred years
# How an interval lies to a limit: wholly within, its middle alone, its lower end alone, or not at all.
Verdict = Literal["within", "likely", "unlikely", "past"]


@dataclass(frozen=True)
class Means:
    """What a run is asked for with: what is None is open, and found.

    run: the request but for tokens, gpu and gpus, which stand here. budget: '$300k'; deadline: a day, 2026-12-31, or a
    time from the start, 30d. At least one of the two is given.
    """

    run: TrainingRequest
    tokens: float | None = None
    gpu: str | None = None
    gpus: int | None = None
    budget: str | None = None
    deadline: str | None = None

    @property
    def money(self) -> Amount | None:
        """The budget. Raises UserError on a text that is no amount above zero."""
        if self.budget is None:
            return None
        try:
            amount = Amount(*parse_money(self.budget))
        except UserError as error:
            raise UserError(f"--budget {error}") from None
        if not 0 < amount.value <= 1e15:
            raise UserError(f"--budget {self.budget!r} is not an amount above zero, and at most 1e15; write '$300k'.")
        return amount

    @property
    def days(self) -> float | None:
        """Days from the start to the deadline. Raises UserError on what is no time after the start."""
        if self.deadline is None:
            return None
        start = datetime.date.fromisoformat(self.run.date) if self.run.date else datetime.date.today()
        span = re.fullmatch(r"\s*(\d*\.?\d+)\s*([hdw])\s*", self.deadline)
        if span:
            days = float(span[1]) * DAYS[span[2]]
        else:
            try:
                days = float((datetime.date.fromisoformat(self.deadline) - start).days)
            except ValueError:
                raise UserError(
                    f"--deadline {self.deadline!r} is neither a day nor a time; write 2026-12-31, or 30d or 8w from "
                    "the start."
                ) from None
        if not 0 < days <= LONGEST:
            raise UserError(
                f"--deadline {self.deadline!r} is not after the start, {start}, and within a hundred years; give a "
                "later one, or another --date."
            )
        return days

    def asking(self, tokens: float, gpu: str, gpus: int) -> TrainingRequest:
        """The request with what was open."""
        return replace(self.run, tokens=tokens, gpu=gpu, gpus=gpus)


@dataclass(frozen=True)
class TriedChips:
    """Chips that were tried: their plan, or why there is none."""

    chip: str
    gpus: int
    plan: TrainingPlan | None
    why_not: str = ""


@dataclass(frozen=True)
class AffordedPlan:
    """A plan of `plan train` that was asked for by what there is for it, and what else was tried, the best first."""

    verb: ClassVar[str] = "train"
    means: Means
    chosen: TrainingPlan
    bought: tuple[float, float] | None  # the 80 % interval of tokens, where the budget decides them
    candidates: tuple[TriedChips, ...]

    @property
    def by_budget(self) -> Verdict | None:
        """How the cost lies to the budget, where the tokens are given."""
        money = self.means.money
        if money is None or self.bought is not None:
            return None
        return verdict(*costs(self.chosen), in_currency_of(self.chosen.price, money))

    @property
    def by_deadline(self) -> Verdict | None:
        """How the days lie to the deadline."""
        return None if self.means.days is None else verdict(*spans(self.chosen), self.means.days)

    def inputs(self) -> dict[str, Any]:
        """What was asked, the deadline as days from the start, which may be the day of asking."""
        days = self.means.days
        return {"means": asdict(self.means) | {"deadline": None if days is None else f"{days:.10g}d"}}

    def to_json(self) -> dict[str, Any]:
        """The keys of a training plan, and `means`: docs/plan.md#train."""
        return self.chosen.to_json() | {
            "means": {
                "budget": self.means.money.value if self.means.money else None,
                "currency": self.means.money.currency if self.means.money else None,
                "tokens_low": self.bought[0] if self.bought else None,
                "tokens_high": self.bought[1] if self.bought else None,
                "by_budget": self.by_budget,
                "days": self.means.days,
                "by_deadline": self.by_deadline,
                "candidates": [self._row(one) for one in self.candidates],
            }
        }

    def _row(self, one: TriedChips) -> dict[str, Any]:
        found: dict[str, Any] = {"gpu": one.chip, "gpus": one.gpus, "why_not": str(one.why_not)}
        if one.plan is None:
            return found
        cost, days = costs(one.plan), spans(one.plan)
        return found | {
            "tokens": one.plan.request.tokens,
            **{"cost_low": cost[0], "cost": cost[1], "cost_high": cost[2], "currency": one.plan.price.currency},
            **{"days_low": days[0], "days": days[1], "days_high": days[2]},
            "by_deadline": None if self.means.days is None else verdict(*days, self.means.days),
            **{"price_per_gpu_hour": one.plan.price.per_device_hour, "price_kind": one.plan.price.kind},
            "price_date": one.plan.price.date,
        }


def costs(plan: TrainingPlan) -> tuple[float, float, float]:
    """Low, middle and high of the cost."""
    return _three(plan, plan.price.per_device_hour)


def spans(plan: TrainingPlan) -> tuple[float, float, float]:
    """Low, middle and high of the days."""
    return _three(plan, 1 / plan.request.gpus / 24)


def _three(plan: TrainingPlan, factor: float) -> tuple[float, float, float]:
    return plan.low_hours * factor, plan.gpu_hours * factor, plan.high_hours * factor


def verdict(low: float, middle: float, high: float, limit: float) -> Verdict:
    """How an interval lies to a limit."""
    if high <= limit:
        return "within"
    return "likely" if middle <= limit else "unlikely" if low <= limit else "past"


def in_currency_of(price: Price, money: Amount) -> float:
    """The budget in the price's currency. Raises UserError where no exchange rate is known."""
    return converted(money, price.currency).value
