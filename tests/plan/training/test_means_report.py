"""What money and time are enough for: every row is that chip's own plan, every answer its verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.plan.show.shown import figures, notes, rows

from centime.plan import verbs
from centime.plan.show.language import writer
from centime.plan.show.sections import Notes
from centime.plan.training.means import AffordedPlan, Means, TriedChips, verdict
from centime.plan.training.means_report import FINISHES, SUFFICES
from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.request import TrainingRequest

W = writer("en")
ASKED = TrainingRequest("deepseek-v2-lite", 2e12, "h100", 64, date="2026-06-01")
OVERLAP = "The intervals of the cheapest overlap: their order is no ranking."


@pytest.fixture(scope="module")
def plans() -> list[TrainingPlan]:
    """The cheapest first."""
    made = [plan_training(replace(ASKED, gpu=gpu), quick=True) for gpu in ("h100", "h200", "b200")]
    return sorted(made, key=lambda plan: plan.cost)


def afforded(plans: list[TrainingPlan], **given: object) -> AffordedPlan:
    tried = [TriedChips(plan.chip.name, plan.request.gpus, plan) for plan in plans]
    means = Means(ASKED, tokens=2e12, **given)  # type: ignore[arg-type]
    return AffordedPlan(means, plans[0], None, (*tried, TriedChips("Abacus", 2, None, "no price")))


def ends(plan: TrainingPlan) -> tuple[float, float, float]:
    return plan.low_hours, plan.gpu_hours, plan.high_hours


@pytest.mark.parametrize("days", [10.0, 40.0, 400.0])
def test_each_row_is_the_plan_of_its_chip(plans: list[TrainingPlan], days: float) -> None:
    made = afforded(plans, deadline=f"{days:g}d")
    *told, abacus = made.to_json()["means"]["candidates"]
    assert abacus == {"gpu": "Abacus", "gpus": 2, "why_not": "no price"}
    shown = rows(verbs.sections(made, "en"), "Chips that were planned")
    for plan, row, (name, cells) in zip(plans, told, shown.items(), strict=True):
        hour = plan.price.per_device_hour
        cost, span = [end * hour for end in ends(plan)], [end / 64 / 24 for end in ends(plan)]
        assert [row[key] for key in ("cost_low", "cost", "cost_high")] == pytest.approx(cost)
        assert [row[key] for key in ("days_low", "days", "days_high")] == pytest.approx(span)
        assert (row["gpu"], row["gpus"], row["tokens"], row["price_per_gpu_hour"]) == (plan.chip.name, 64, 2e12, hour)
        assert row["by_deadline"] == verdict(*span, days)
        assert (name, cells[:1]) == (plan.chip.name, ["64"])
        assert cells[1:3] == [f"${cost[1]:,.0f}", f"${cost[0]:,.0f} – ${cost[2]:,.0f}"]
        assert cells[3:6] == [f"{span[1]:,.1f}", f"{span[0]:,.1f} – {span[2]:,.1f}", FINISHES[verdict(*span, days)]]
    assert notes(verbs.sections(made, "en"), "Not planned") == ["Abacus: no price"]


@pytest.mark.parametrize("days", [None, 0.5, 10.0, 400.0])
def test_an_order_that_the_intervals_leave_open_among_those_that_finish_is_called_none(
    plans: list[TrainingPlan], days: float | None
) -> None:
    made = afforded(plans, deadline=None if days is None else f"{days:g}d", budget="$1M")
    first, *others = [plan for plan in plans if days is None or plan.gpu_hours / 64 / 24 <= days] or plans[:1]
    open_ = any(
        plan.low_hours * plan.price.per_device_hour < first.high_hours * first.price.per_device_hour for plan in others
    )
    said = [line for one in verbs.sections(made, "en") if isinstance(one, Notes) for line in one.lines]
    assert (OVERLAP in said) == open_


@pytest.mark.parametrize(("share", "says"), [(2.0, "within"), (1.01, "likely"), (0.95, "unlikely"), (0.1, "past")])
def test_the_head_says_whether_it_is_enough(plans: list[TrainingPlan], share: float, says: str) -> None:
    plan = plans[0]
    days, money = share * plan.gpu_hours / 64 / 24, share * plan.cost
    head = figures(verbs.sections(afforded(plans, deadline=f"{days:.4f}d", budget=f"${money:.0f}"), "en"))
    low, _, high = (end / 64 / 24 for end in ends(plan))
    assert head["Budget"] == (f"${money:,.0f}", SUFFICES[says])  # type: ignore[index]
    assert head["Days there are"] == (f"{days:,.4g}", f"{FINISHES[says]}; {low:,.1f} to {high:,.1f} days")  # type: ignore[index]
    cheapest = "Cheapest that finish" if says in ("within", "likely") else "Fastest of all"
    assert head[cheapest] == (f"64 x {plan.chip.name}", "")
