"""What training costs before it starts: pre-training, context extension and post-training, in chip-hours and money.

A stage is a number of steps, each predicted by `plan.step`; a long run loses time to failures (`goodput`). Table 1
of the DeepSeek-V3 report is the shape of the answer.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from centime.catalogue import models
from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip, chip
from centime.catalogue.currencies.exchange import in_currency
from centime.catalogue.export_rules import status as export_status
from centime.catalogue.export_rules import where
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.messages import said
from centime.plan.counts.architecture import count_architecture
from centime.plan.layouts.search import PRICED, SearchResult, search
from centime.plan.step.job import Job
from centime.plan.step.layout import parse, validate
from centime.plan.step.prediction import StepPrediction, check_precision, predict_step, software_of
from centime.plan.step.times import TRAFFIC
from centime.plan.training.adapters import adapters_assumed, adapters_json
from centime.plan.training.first_run import first_run
from centime.plan.training.goodput import Goodput, goodput, interruptions, spot_hours
from centime.plan.training.request import TrainingRequest, check, filled_in, recipe_of, tuned
from centime.plan.training.stages import PlannedStage, stage_of_extension, stage_of_rl, stage_of_tokens

FIRST_PRINCIPLES = said(
    "Context extension is counted at the speed of its steps alone; published hours are higher, since such short stages "
    "also pay for starts, tests and tuning that no first principle knows."
)


@dataclass(frozen=True)
class TrainingPlan:
    """What a request costs. `request` has every default written out."""

    verb: ClassVar[str] = "train"
    request: TrainingRequest
    arch: Architecture
    chip: Chip
    price: Price
    stages: tuple[PlannedStage, ...]
    goodput: Goodput
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    search: SearchResult | None = None  # where the layout was asked for
    on_demand: Price | None = None  # of a run on a spot market: what chips cost that are not taken back

    @property
    def step(self) -> StepPrediction:
        """A step of pre-training."""
        step = self.stages[0].step
        assert step is not None
        return step

    @cached_property
    def gpu_hours(self) -> float:
        """Chip-hours of all stages."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def low_hours(self) -> float:
        """Lower end of the interval: the stages err together, since one model of the machine predicts them."""
        return sum(stage.low_hours for stage in self.stages)

    @property
    def high_hours(self) -> float:
        """Upper end of the interval."""
        return sum(stage.high_hours for stage in self.stages)

    @property
    def days(self) -> float:
        """Days on all chips."""
        return self.gpu_hours / self.request.gpus / 24

    @property
    def cost(self) -> float:
        """In the price's currency."""
        return self.gpu_hours * self.price.per_device_hour

    @property
    def lost_hours(self) -> float:
        """Chip-hours that do not train: restarts, work since the last checkpoint, and checkpoints."""
        return (1 - self.goodput.share) * sum(stage.gpu_hours for stage in self.stages if stage.step is not None)

    @property
    def cost_on_demand(self) -> float | None:
        """What a run on a spot market costs on chips that only fail; None elsewhere, and without such a price."""
        if self.on_demand is None:
            return None
        training = self.gpu_hours - self.lost_hours
        lost = 1 / goodput(self.request.gpus).share - 1
        steps = sum(stage.gpu_hours for stage in self.stages if stage.step is not None) - self.lost_hours
        return (training + lost * steps) * self.on_demand.per_device_hour

    @property
    def end(self) -> str | None:
        """The day it ends, where the request says when it starts."""
        if self.request.date is None:
            return None
        return str(datetime.date.fromisoformat(self.request.date) + datetime.timedelta(days=round(self.days)))

    def inputs(self) -> dict[str, Any]:
        """The request with every default written out, for the card."""
        return asdict(self.request)

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan.md#train. Money is in `currency`; cost_usd is None in another one."""
        step = self.step
        rate = self.price.per_device_hour
        dollars = self.price.currency == "USD"
        traffic = {name: step.breakdown_s.get(name, 0.0) for name in TRAFFIC}
        own = {name: seconds for name, seconds in step.breakdown_s.items() if name not in TRAFFIC}
        return {
            "model": self.arch.name,
            "parameters": count_architecture(self.arch).said(),
            "gpu": self.chip.name,
            "gpus": self.request.gpus,
            "tokens": self.request.tokens,
            "gpu_hours": self.gpu_hours,
            "days": self.days,
            "cost_usd": self.cost if dollars else None,
            "cost": self.cost,
            "currency": self.price.currency,
            "price_per_gpu_hour": rate,
            "price_date": self.price.date,
            "step_time_s": step.step_time_s,
            "tokens_per_s_per_gpu": step.tokens_per_s_per_gpu,
            "tflops_per_gpu": step.tflops_per_gpu,
            "mfu": step.mfu,
            "precision": step.precision,
            "optimizer": self.request.optimizer,
            "adapters": adapters_json(self.arch, self.request.lora),
            "goodput": self.goodput.share,
            "market": self.request.market,
            "price_region": self.request.price_region,
            "hours_between_interruptions": self.goodput.hours_between_interruptions,
            "hours_between_checkpoints": self.goodput.hours_between_checkpoints,
            "gpu_hours_lost": self.lost_hours,
            "cost_lost": self.lost_hours * rate,
            "cost_on_demand": self.cost_on_demand,
            "start": self.request.date,
            "end": self.end,
            "memory_gib_per_gpu": step.memory_gib,
            "layout": {**asdict(step.layout), "dp": step.layout.dp},
            "breakdown_s": {**own, "exposed_comm": sum(traffic.values())},
            "exposed_comm_s": traffic,
            "phases_s": step.phases_s,
            "micro_batch_s": step.passes._asdict(),
            "stages": [stage.to_json() for stage in self.stages],
            "interval": {
                "low": self.low_hours,
                "high": self.high_hours,
                "unit": "gpu_hours",
                "confidence": 0.8,
                "step_time_low_s": step.low_s,
                "step_time_high_s": step.high_s,
                "cost_low": self.low_hours * rate,
                "cost_high": self.high_hours * rate,
            },
            "first_run": first_run(self.gpu_hours, rate) if self.request.first_run else [],
            "search": self.search.to_json() if self.search else {},
            "assumptions": list(self.assumptions),
            "sources": list(self.sources),
        }


def plan_training(request: TrainingRequest, quick: bool = False) -> TrainingPlan:
    """Predict the stages of a training run. quick: a layout that is searched for is the same, with fewer priced beside
    it. Raises UserError on what cannot be: unknown names, negative quantities, layouts that do not divide or fit."""
    check(request)
    arch, device = tuned(models.architecture(request.model), request), chip(request.gpu)
    recipe = recipe_of(arch, request)
    assumptions: list[str] = []
    request = filled_in(request, arch, device, recipe, assumptions)
    assert request.seq is not None
    assert request.global_batch is not None
    assert request.precision is not None
    check_precision(request.precision, device)
    software = software_of(request.software_date)
    seq, batch, way = request.seq, request.global_batch, (request.optimizer, request.lora)
    job = Job(arch, device, seq, batch, request.precision, software, *way)
    found: SearchResult | None = None
    if request.layout == "auto":
        found = search(job, request.gpus, priced=0 if quick else PRICED)
        step = predict_step(job, found.best.layout, times=found.times[0])
        if found.idle:
            assumptions.append(said("The best layout leaves {idle:|chip|chips} idle.", idle=found.idle))
    else:
        layout = parse(request.layout or "", request.gpus)
        validate(layout, arch, device)
        step = predict_step(job, layout, recompute_as_needed="recompute" not in (request.layout or ""))
    taken = (request.interrupted_every or spot_hours(request.gpus)) if request.market == "spot" else None
    long = goodput(request.gpus, taken)
    stages = [stage_of_tokens("adapters" if request.lora else "pretrain", request.tokens, step, request.gpus, long)]
    for longer_stage in request.extension or ():
        stages.append(stage_of_extension(job, step, longer_stage, request.gpus, long))
    if request.extension:
        assumptions.append(FIRST_PRINCIPLES)
    if request.sft_tokens:
        stages.append(stage_of_tokens("sft", request.sft_tokens, step, request.gpus, long))
        assumptions.append(said("Supervised tuning runs at the speed of pre-training."))
    if request.rl:
        stages.append(stage_of_rl(job, step, request.rl, request.gpus, long))
        assumptions.append(
            said(
                "Rollouts follow a roofline of decoding; training waits for the longest answer of each, of "
                "{longest:,.0f} tokens where the mean is {mean:,.0f}.",
                longest=request.rl.longest,
                mean=request.rl.answer_tokens,
            )
        )
    if request.post_hours:
        hours = request.post_hours
        stages.append(PlannedStage("post", 0.0, 0.0, None, hours, hours, hours))
        assumptions.append(said("Post-training takes {hours:,.0f} GPU-hours: an input, not a result.", hours=hours))
    if request.optimizer != "adamw":
        assumptions.append(
            said(
                "{name}: the bytes of its states and the seconds of its update are counted, from no measured step.",
                name=request.optimizer,
            )
        )
    if request.lora:
        assumptions += adapters_assumed(arch, request.lora)
    assumptions += step.assumptions
    assumptions.append(interruptions(long, request.gpus, taken, measured=request.interrupted_every is None))
    status = export_status(device, request.date or str(datetime.date.today()), request.region)
    if not status.may_buy:
        assumptions.append(
            said(
                "May not be bought {where} on {date:date}: {status}.",
                where=where(status.buyer),
                date=status.date,
                status=status.sentence(),
            )
        )
    price = in_currency(
        gpu_hour(device, request.date, request.price, request.market, request.price_region), request.currency
    )
    on_demand = _on_demand(request, device, price)
    sources = [source for source in (arch.source, device.source, recipe.get("source"), price.sentence()) if source]
    sources.append("arXiv 2407.21783, section 3.3.4 (failures); plan/step/constants.json (published runs)")
    given = (tuple(stages), long, tuple(assumptions), tuple(sources), found, on_demand)
    return TrainingPlan(request, arch, device, price, *given)


def _on_demand(request: TrainingRequest, device: Chip, price: Price) -> Price | None:
    """The price on demand where the spot market's is of the catalogue too, in the same currency; None elsewhere."""
    if request.market != "spot" or request.price is not None:
        return None
    try:
        return in_currency(gpu_hour(device, request.date, area=request.price_region), price.currency)
    except UserError:
        return None
