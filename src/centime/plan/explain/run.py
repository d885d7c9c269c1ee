"""Runs of `plan explain` from their cases: as `plan train` predicts them, and as the coalitions between them are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.messages import said
from centime.plan.training.case import RunInputs
from centime.plan.training.plan import plan_training
from centime.plan.training.request import TrainingRequest
from centime.plan.training.searched_step import SearchedStep, Searcher


@dataclass(frozen=True)
class ExplainedRun:
    """One side: its case, the coalition that it is, its GPU-seconds per token, and its price.

    seconds: GPU-seconds per token as the run is (its own layout); searched: under the best layout that the search
    finds with the same schedule.
    """

    case: RunInputs
    at: SearchedStep
    seconds: float
    searched: float
    price: float  # per chip-hour
    price_note: str
    spread: tuple[float, float] = (1.0, 1.0)  # factors on `seconds`: the ends of the 80 % interval
    hour: Price | None = None  # where its price is from

    @property
    def gpu_hours(self) -> float:
        return self.seconds * self.case.tokens / 3600

    @property
    def cost(self) -> float:
        return self.gpu_hours * self.price


def run_of(case: RunInputs, searcher: Searcher) -> ExplainedRun:
    """A case as `plan train` predicts its pre-training. Raises UserError for what cannot be."""
    given = None if case.price is None else f"{case.price:g} {case.currency}/h"
    plan = plan_training(
        TrainingRequest(
            model=case.model,
            tokens=case.tokens,
            gpu=case.gpu,
            gpus=case.gpus,
            seq=case.seq,
            global_batch=case.global_batch,
            precision=case.precision,
            layout=case.layout,
            price=given,
            software_date=case.software_date,
            extension=(),
            post_hours=0.0,
        ),
        quick=True,
    )
    request = plan.request
    assert request.seq is not None
    assert request.global_batch is not None
    assert request.precision is not None
    price = gpu_hour(plan.chip, case.price_date, given)
    if not price.per_device_hour > 0:
        raise UserError(f"{case.title}: an hour costs {case.price}; a ratio of costs needs prices above zero.")
    made = request.layout != "auto"
    at = SearchedStep(
        arch=plan.arch,
        chip=plan.chip,
        gpus=case.gpus,
        seq=request.seq,
        global_batch=request.global_batch,
        precision=request.precision,
        schedule=plan.step.layout.schedule if made else None,
        software_date=request.software_date or "",
    )
    note = said(
        "{title}: {price:money} a chip-hour, {kind}, {date:date}{more}",
        title=said(case.title),
        price=price.amount,
        kind=said(price.kind),
        date=case.price_date or price.date,
        more=said(" ({why})", why=price.note) if price.note else "",
    )
    resolved = replace(
        case,
        seq=request.seq,
        global_batch=request.global_batch,
        precision=request.precision,
        layout=request.layout,
        software_date=request.software_date,
        currency=price.currency,
        price_date=case.price_date or price.date,
    )
    stage = plan.stages[0]
    spread = stage.low_hours / stage.gpu_hours, stage.high_hours / stage.gpu_hours
    seconds = stage.gpu_hours * 3600 / case.tokens
    return ExplainedRun(resolved, at, seconds, searcher(at), price.per_device_hour, note, spread, price)
