"""Two training runs side by side: the causes of `plan explain` for pre-training, the later stages as one more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from centime.catalogue.hourly_prices import how_old
from centime.errors import UserError
from centime.messages import said
from centime.plan.diff.causes import NEGLIGIBLE, TOGETHER, Change, Compared, Quantity, logarithmic_mean
from centime.plan.explain.plan import explain
from centime.plan.training.case import RunInputs
from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.request import TrainingRequest
from centime.plan.typed_inputs import typed


def compare_training(a: Mapping[str, Any], b: Mapping[str, Any]) -> Compared:
    """The inputs of two plans of `plan train`. Raises UserError for what cannot be planned, or other currencies."""
    before, after = (plan_training(typed(TrainingRequest, dict(inputs), "inputs of train")) for inputs in (a, b))
    currency = before.price.currency
    if currency != after.price.currency:
        raise UserError(f"A is priced in {currency} and B in {after.price.currency}; give both prices in one currency.")
    ends = [
        (plan.low_hours * plan.price.per_device_hour, plan.high_hours * plan.price.per_device_hour)
        for plan in (before, after)
    ]
    quantities = [
        Quantity("Cost", currency, before.cost, after.cost, (ends[0], ends[1])),
        Quantity("GPU-hours", "", before.gpu_hours, after.gpu_hours),
        Quantity("Days", "", before.days, after.days),
        Quantity("GPUs", "", before.request.gpus, after.request.gpus),
        Quantity("Step", "s", before.step.step_time_s, after.step.step_time_s),
        Quantity("Memory of the fullest chip", "GiB", before.step.memory_gib["total"], after.step.memory_gib["total"]),
    ]
    notes = [plan.price.sentence() for plan in (before, after)] + how_old([before.price, after.price])
    try:
        if before.request.lora or after.request.lora:
            raise UserError("adapters are compared as a whole")
        causes = _causes(before, after)
    except (
        UserError
    ):  # adapters, of which `plan explain` knows nothing, or a model of one size in the other's shape cannot be made
        by = {q.name: q.b - q.a for q in quantities[:3]}
        causes = [Change("all together", before.arch.name, after.arch.name, by)]
        notes.append(TOGETHER)
    return Compared(quantities, causes, currency, list(dict.fromkeys(notes)))


def _causes(a: TrainingPlan, b: TrainingPlan) -> list[Change]:
    """Days follow the chip-hours of each cause, and are fewer by what more chips share."""
    found = explain(_run(a), _run(b))
    days_a, days_b = (run.gpu_hours / run.case.gpus / 24 for run in (found.a, found.b))
    hours, days = logarithmic_mean(found.a.gpu_hours, found.b.gpu_hours), logarithmic_mean(days_a, days_b)
    shared = math.log(b.request.gpus / a.request.gpus)
    out = []
    for cause in found.causes:
        of_time = 0.0 if cause.name == "price" else cause.log
        on_more = shared if cause.name == "cluster" else 0.0
        by = {"Cost": cause.money, "GPU-hours": hours * of_time, "Days": days * (of_time - on_more)}
        out.append(Change(cause.name, cause.before, cause.after, by))
    first = [plan.stages[0].gpu_hours for plan in (a, b)]
    other = [own - run.gpu_hours for own, run in zip(first, (found.a, found.b), strict=True)]
    if a.request.optimizer != b.request.optimizer:  # the causes of pre-training are those under AdamW
        out.append(_apart("optimizer", (a.request.optimizer, b.request.optimizer), other, (a, b)))
    later = [sum(stage.gpu_hours for stage in plan.stages[1:]) for plan in (a, b)]
    texts = [said("{hours:count|GPU-hour|GPU-hours}", hours=hours) for hours in later]
    apart = _apart("later stages", (texts[0], texts[1]), later, (a, b))
    if any(abs(value) > NEGLIGIBLE for value in apart.by.values()):
        out.append(apart)
    return out


def _apart(name: str, texts: tuple[str, str], hours: list[float], plans: tuple[TrainingPlan, TrainingPlan]) -> Change:
    """A cause that is so many chip-hours of either plan."""
    money = [own * plan.price.per_device_hour for own, plan in zip(hours, plans, strict=True)]
    days = [own / plan.request.gpus / 24 for own, plan in zip(hours, plans, strict=True)]
    by = {"Cost": money[1] - money[0], "GPU-hours": hours[1] - hours[0], "Days": days[1] - days[0]}
    return Change(name, *texts, by)


def _run(plan: TrainingPlan) -> RunInputs:
    """The pre-training of a plan, with all that it was filled in with."""
    request = plan.request
    return RunInputs(
        title=plan.arch.name,
        model=request.model,
        gpu=request.gpu,
        gpus=request.gpus,
        tokens=request.tokens,
        seq=request.seq,
        global_batch=request.global_batch,
        precision=request.precision,
        layout=request.layout,
        software_date=request.software_date,
        price=plan.price.per_device_hour,
        currency=plan.price.currency,
    )
