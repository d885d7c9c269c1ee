"""The tokens that a budget buys, and the cheapest chips that finish by a deadline.

Chips of the catalogue that have a price, may be bought and are on sale at the start are tried, in powers of two, since
a run's cost hardly depends on their number: each first by the short search of `searched_step`, then the cheapest by
whole plans.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from centime.catalogue import models
from centime.catalogue.chips import Chip, chip, chip_names
from centime.catalogue.currencies.exchange import in_currency
from centime.catalogue.export_rules import status as export_status
from centime.catalogue.hourly_prices import gpu_hour
from centime.errors import UserError
from centime.messages import Amount, said
from centime.plan.training.means import AffordedPlan, Means, TriedChips, costs, in_currency_of, spans, verdict
from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.request import check, filled_in, recipe_of, tuned
from centime.plan.training.searched_step import SearchedStep, Searcher

A_TRILLION = 1e12  # tokens of a first plan, whose cost by token a budget is divided by
PLANNED = 8  # chips whose whole plan is made
MOST_CHIPS = 1 << 17
DOUBLINGS = 4  # of the number that the short search gives, until a whole plan finishes


@dataclass(frozen=True)
class _Estimate:
    """A chip by the short search: how many finish, the cost of the run, or of a token where a budget buys them."""

    device: Chip
    gpus: int
    cost: float


def afford(means: Means) -> AffordedPlan:
    """The plan of what there is. Raises UserError where too little is said, or nothing can be planned at all."""
    money, days = means.money, means.days
    if money is not None and means.run.currency is None:  # the answer speaks the budget's currency
        means = replace(means, run=replace(means.run, currency=money.currency))
    if money is None and days is None:
        raise UserError("neither --budget nor --deadline is given; give at least one of them.")
    if means.tokens is None and money is None:
        raise UserError("--tokens is missing; give it, or --budget for the tokens that the money buys.")
    if means.gpus is None and days is None:
        raise UserError("--gpus is missing; give it, or --deadline for as many as finish by then.")
    if means.gpu is None and means.run.price is not None:
        raise UserError("--price is of one chip; give --gpu too, or leave it out to compare chips at their own prices.")
    check(means.asking(means.tokens or A_TRILLION, means.gpu or "", means.gpus or 1))
    if means.gpu is not None and means.gpus is not None:
        plan = _planned(means, means.gpu, means.gpus, quick=False)
        return AffordedPlan(means, plan, _bought(means, plan), ())
    return _searched(means)


def _searched(means: Means) -> AffordedPlan:
    rejected: list[TriedChips] = []
    estimates = sorted(_estimates(means, rejected), key=lambda one: one.cost)
    found: list[TriedChips] = []
    for one in estimates[:PLANNED]:
        found.append(_finishing(means, one))
    planned = [one for one in found if one.plan is not None]
    if not planned:
        reasons = "; ".join(f"{one.chip}: {one.why_not}" for one in [*found, *rejected][:3])
        raise UserError(f"No chip was found that this run can be planned for. {reasons}")
    planned.sort(key=lambda one: _rank(means, one.plan))  # type: ignore[arg-type]
    best = planned[0]
    assert best.plan is not None
    whole = _planned(means, best.chip, best.gpus, quick=False)
    planned[0] = replace(best, plan=whole)
    safe = _safe(means, best)
    others = [one for one in found if one.plan is None]
    rows = (planned[0], *([safe] if safe else []), *planned[1:], *others, *rejected)
    return AffordedPlan(means, whole, _bought(means, whole), rows)


def _rank(means: Means, plan: TrainingPlan) -> tuple[bool, float]:
    """Those that finish first, by cost, or by the cost of a token where the budget buys them."""
    late = means.days is not None and spans(plan)[1] > means.days
    if late:
        return True, spans(plan)[1]
    return False, plan.cost if means.tokens is not None else plan.cost / plan.request.tokens


def _pool(means: Means, rejected: list[TriedChips]) -> Iterator[Chip]:
    """The chips that are tried: the one named, else all that are sold and priced."""
    if means.gpu is not None:
        yield chip(means.gpu)
        return
    today = means.run.date or str(datetime.date.today())
    for name in chip_names():
        device = chip(name)
        status = export_status(device, today, means.run.region)
        if not status.may_buy:
            rejected.append(TriedChips(name, 0, None, said(status.status)))
            continue
        try:
            gpu_hour(device, means.run.date, market=means.run.market, area=means.run.price_region)
        except UserError:
            rejected.append(TriedChips(name, 0, None, said("no price is known")))
            continue
        yield device


def _estimates(means: Means, rejected: list[TriedChips]) -> Iterator[_Estimate]:
    searcher = Searcher()
    arch = tuned(models.architecture(means.run.model), means.run)
    recipe = recipe_of(arch, means.run)
    for device in _pool(means, rejected):
        run = means.run
        price = in_currency(gpu_hour(device, run.date, run.price, run.market, run.price_region), run.currency)
        budget = None if means.money is None else in_currency_of(price, means.money)
        reason = ""
        for gpus in _counts(means):
            asked = means.asking(means.tokens or A_TRILLION, device.name, gpus)
            try:
                filled = filled_in(replace(asked, layout="auto"), arch, device, recipe, [])
                assert filled.seq is not None
                assert filled.global_batch is not None
                assert filled.precision is not None
                at = SearchedStep(
                    arch,
                    device,
                    gpus,
                    filled.seq,
                    filled.global_batch,
                    filled.precision,
                    None,
                    filled.software_date or "",
                    run.optimizer,
                    run.lora,
                )
                hours = searcher(at) / 3600  # chip-hours of a token
            except UserError as error:
                reason = str(error)
                continue
            tokens = means.tokens or (budget or 0.0) / price.per_device_hour / hours
            if means.days is None or means.gpus is not None or tokens * hours / gpus / 24 <= means.days:
                cost = hours * price.per_device_hour * (means.tokens or 1.0)
                yield _Estimate(device, gpus, cost)
                break
            reason = said("{gpus:,} of them do not finish", gpus=gpus)
        else:
            rejected.append(TriedChips(device.name, 0, None, reason))


def _counts(means: Means) -> list[int]:
    """Numbers of chips to try, fewest first."""
    return [means.gpus] if means.gpus is not None else [1 << i for i in range(MOST_CHIPS.bit_length())]


def _finishing(means: Means, one: _Estimate) -> TriedChips:
    """The whole plan of a chip, with as many of them as finish by the deadline."""
    gpus, plan, why = one.gpus, None, ""
    for _ in range(DOUBLINGS if means.gpus is None else 1):
        try:
            plan = _planned(means, one.device.name, gpus, quick=True)
        except UserError as error:
            plan, why = None, str(error)
        if plan is not None and (means.days is None or spans(plan)[1] <= means.days):
            break
        gpus *= 2
    if plan is None:
        return TriedChips(one.device.name, one.gpus, None, why)
    return TriedChips(one.device.name, plan.request.gpus, plan)


def _safe(means: Means, best: TriedChips) -> TriedChips | None:
    """The best chip in such a number that its whole interval finishes; None where it does, or the number is given."""
    if means.days is None or means.gpus is not None or best.plan is None or spans(best.plan)[1] > means.days:
        return None
    gpus = best.gpus
    if verdict(*spans(best.plan), means.days) == "within":
        return None
    for _ in range(DOUBLINGS):
        gpus *= 2
        plan = _planned(means, best.chip, gpus, quick=True)
        if verdict(*spans(plan), means.days) == "within":
            return TriedChips(best.chip, gpus, plan)
    return None


def _planned(means: Means, gpu: str, gpus: int, quick: bool) -> TrainingPlan:
    """The plan of the tokens given, or of those that the budget buys on such chips."""
    if means.tokens is not None:
        plan = plan_training(means.asking(means.tokens, gpu, gpus), quick)
        if means.money is not None:
            in_currency_of(plan.price, means.money)
        return plan
    assert means.money is not None
    first = plan_training(means.asking(A_TRILLION, gpu, gpus), quick=True)
    tokens = _tokens(first, means.money, 1)
    if not tokens > 0:
        later = first.cost - first.stages[0].gpu_hours * first.price.per_device_hour
        if not later > 0:
            raise UserError(said("--budget: {budget:money} buy not one token; give more.", budget=means.money))
        raise UserError(
            said(
                "--budget: {budget:money} do not pay for the stages after pre-training, {cost:money} on {chip}; give "
                "more, or --post-hours 0.",
                budget=means.money,
                cost=Amount(later, first.price.currency),
                chip=first.chip.name,
            )
        )
    return plan_training(means.asking(tokens, gpu, gpus), quick)


def _tokens(plan: TrainingPlan, money: Amount, which: int) -> float:
    """What the money buys of pre-training after the later stages, at the low, middle or high end of hours."""
    price = plan.price.per_device_hour
    if not price > 0:
        raise UserError("--budget: an hour costs nothing, so that any number of tokens can be had; give --tokens.")
    stage = plan.stages[0]
    first = (stage.low_hours, stage.gpu_hours, stage.high_hours)[which] * price
    later = costs(plan)[which] - first
    return math.floor((in_currency_of(plan.price, money) - later) / (first / stage.tokens))


def _bought(means: Means, plan: TrainingPlan) -> tuple[float, float] | None:
    """The interval of the tokens, where the budget decides them."""
    if means.tokens is not None or means.money is None:
        return None
    return max(0.0, _tokens(plan, means.money, 2)), _tokens(plan, means.money, 0)
