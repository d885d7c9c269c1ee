"""GPU-seconds per token of runs and of the corners between them, from the planner's own steps and layouts."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import get_args

from centime.catalogue.architecture import Experts
from centime.catalogue.prices import gpu_hour
from centime.errors import UserError
from centime.plan.cases import Case
from centime.plan.corners import Corner
from centime.plan.explain import Run
from centime.plan.goodput import goodput
from centime.plan.layout import Layout, Schedule, objections
from centime.plan.layout_cost import StepCost
from centime.plan.layout_search import LONG, RECOMPUTE
from centime.plan.prediction import software_of
from centime.plan.text import said
from centime.plan.training import plan_training
from centime.plan.training_request import TrainingRequest
from centime.units import format_money

# A corner's search is one of hundreds: the degrees that matter most, in powers of two, every chip at work that the
# batch can feed. The runs at both ends are searched like their neighbours; what `plan train` finds beyond is "layout".
TENSOR = (1, 2, 4, 8)
CHUNKS = (2, 4, 7)
MICRO_BATCHES = (1, 2)
SHARDING = (1, 3)


@dataclass
class Searcher:
    """The best layout of a corner, each corner searched once."""

    found: dict[Corner, float] = field(default_factory=dict)

    def __call__(self, at: Corner) -> float:
        """GPU-seconds per token under the best layout, failures included. Raises UserError where none is feasible."""
        if at not in self.found:
            self.found[at] = _best(at)
        return self.found[at]


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(max(1, most).bit_length())]


def _shapes(at: Corner) -> list[Layout]:
    """The degrees that exist for a corner; replicas as many as chips and batch allow."""
    experts = [block.feed_forward.experts for block in at.arch.blocks if isinstance(block.feed_forward, Experts)]
    found = []
    for tp in TENSOR:
        for pp in _powers(min(at.arch.layers, at.gpus // tp)):
            for cp in _powers(at.seq // LONG):
                for micro_batch in MICRO_BATCHES:
                    most = at.gpus // (tp * cp * pp)
                    dp = max((d for d in _divisors(at.global_batch // micro_batch) if d <= most), default=0)
                    for ep in _powers(min(experts, default=1)):
                        layout = Layout(tp * cp * pp * dp, tp, pp, 1, cp, ep, micro_batch=micro_batch)
                        if dp and not any(objections(layout, at.arch, at.chip, at.seq, at.global_batch)):
                            found.append(layout)
    return found


def _best(at: Corner) -> float:
    cost = StepCost(at.arch, at.chip, at.seq, at.global_batch, at.precision, software_of(at.software_date or None))
    found = _shapes(at)
    ordered = sorted((cost.least_seconds(shape), i) for i, shape in enumerate(found))
    best = float("inf")
    for wanted in (at.schedule, None):  # where the schedule cannot be had at all, any
        for least, i in ordered:
            if least >= best:
                break
            for layout in _scheduled(found[i], at, wanted):
                fitting = (replace(layout, recompute=word) for word in RECOMPUTE)  # the least that fits is the fastest
                chosen = next(filter(cost.fits, fitting), None)
                best = min(best, cost.seconds(chosen)) if chosen else best
        if best < float("inf"):
            return at.gpus * best / (at.global_batch * at.seq) / goodput(at.gpus).share
    raise UserError(
        f"{at.arch.name} does not fit {at.gpus:,} x {at.chip.name} in any layout, at {at.seq:,} tokens a sequence; "
        "this comparison passes through that run: compare runs on more chips, or on chips with more memory."
    )


def _scheduled(shape: Layout, at: Corner, wanted: Schedule | None) -> Iterator[Layout]:
    """The shape under every schedule (or the one wanted) and sharding that exist for it."""
    for schedule in (wanted,) if wanted else get_args(Schedule):
        for vp in CHUNKS if schedule == "interleaved" else (1,):
            for zero in SHARDING:
                layout = replace(shape, schedule=schedule, vp=vp, zero=zero)
                if not any(objections(layout, at.arch, at.chip, at.seq, at.global_batch)):
                    yield layout


@functools.cache
def _divisors(n: int) -> tuple[int, ...]:
    """Of a batch."""
    return tuple(d for d in range(1, n + 1) if n % d == 0)


def run_of(case: Case, searcher: Searcher) -> Run:
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
        )
    )
    asked = plan.request
    assert asked.seq
    assert asked.global_batch
    assert asked.precision
    price = gpu_hour(plan.chip, case.price_date, given)
    if not price.per_device_hour > 0:
        raise UserError(f"{case.title}: an hour costs {case.price}; a ratio of costs needs prices above zero.")
    made = asked.layout != "auto"
    at = Corner(
        arch=plan.arch,
        chip=plan.chip,
        gpus=case.gpus,
        seq=asked.seq,
        global_batch=asked.global_batch,
        precision=asked.precision,
        schedule=plan.step.layout.schedule if made else None,
        software_date=asked.software_date or "",
    )
    note = said(
        "{title}: {price} a chip-hour, {kind}, {date}{more}",
        title=case.title,
        price=format_money(price.per_device_hour, price.currency),
        kind=said(price.kind),
        date=case.price_date or price.date,
        more=f" ({price.note})" if price.note else "",
    )
    resolved = replace(
        case,
        seq=asked.seq,
        global_batch=asked.global_batch,
        precision=asked.precision,
        layout=asked.layout,
        software_date=asked.software_date,
        currency=price.currency,
        price_date=case.price_date or price.date,
    )
    seconds = plan.stages[0].gpu_hours * 3600 / case.tokens
    return Run(resolved, at, seconds, searcher(at), price.per_device_hour, note)
