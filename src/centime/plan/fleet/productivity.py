"""What a GPU does, as fleet and budget need it: tokens a second when it serves, GPU-hours of a training run.

Speeds come from `plan serve`, hours from `plan train`; both with an 80 % interval. Speeds are means over a day, as the
published ones are that they are held against.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from centime.messages import Said, said
from centime.plan.fleet.scenario import FleetScenario
from centime.plan.fleet.uncertain import Uncertain
from centime.plan.serving.request import Demand, ServingRequest
from centime.units import SECONDS_PER_DAY


@dataclass(frozen=True)
class ServingRates:
    """Tokens/s of a GPU that prefills (cache hits included) and of one that decodes."""

    prefill: Uncertain
    decode: Uncertain
    note: Said

    def seconds(self, inputs: float, outputs: float) -> float:
        """GPU-seconds that so many prompt and generated tokens take."""
        return inputs / self.prefill.mid + outputs / self.decode.mid


@functools.cache
def serving_rates(request: ServingRequest) -> ServingRates:
    """The speeds of a model on a chip for a demand.

    Where one unit does both, its GPUs are split by the time that each phase takes. Raises UserError where the planner
    knows no way to serve it.
    """
    from centime.plan.serving.choice import Mixed
    from centime.plan.serving.planner import plan_serving

    assert request.demand is not None
    plan = plan_serving(request)
    prefill_gpus, decode_gpus = plan.prefill_gpus, plan.decode_gpus
    if isinstance(plan.choice, Mixed):
        share = plan.choice.state.prefill_share
        prefill_gpus, decode_gpus = decode_gpus * share, decode_gpus * (1 - share)

    def rate(tokens: float, gpus: float) -> Uncertain:
        found = tokens / SECONDS_PER_DAY / max(gpus, 1e-12)
        source = said("predicted by centime plan serve: {model} on {chip}", model=request.model, chip=plan.chip.name)
        return Uncertain(low=found * plan.low_factor, mid=found, high=found * plan.high_factor, source=source)

    prefill = rate(request.demand.input_per_day, prefill_gpus)
    decode = rate(request.demand.output_per_day, decode_gpus)
    note = said(
        "{model} on {chip}: {prefill:,.0f} prompt tokens/s per GPU that prefills, {decode:,.0f} generated per GPU that "
        "decodes, predicted as means over a day",
        model=request.model,
        chip=plan.chip.name,
        prefill=prefill.mid,
        decode=decode.mid,
    )
    return ServingRates(prefill, decode, note)


def scenario_rates(scenario: FleetScenario, gpu: str | None = None, date: str | None = None) -> ServingRates:
    """The speeds of a scenario's serving, on its chip or on another one, with the software of `date`."""
    demand, serving = scenario.demand, scenario.serving
    inputs, outputs = demand.input_tokens_per_day.mid, demand.output_tokens_per_day.mid
    both_given = serving.context is None
    return serving_rates(
        ServingRequest(
            model=serving.model,
            gpu=gpu or serving.chip,
            demand=Demand(inputs, outputs, demand.cache_hit_share.mid),
            isl=serving.output_length * inputs / outputs if both_given else None,
            osl=float(serving.output_length) if both_given else None,
            context=serving.context,
            tpot_s=1 / serving.tokens_per_s_per_user,
            layout=serving.layout if gpu is None else "auto",
            precision=serving.precision if gpu is None else None,
            date=date or serving.software_date or scenario.start,
        )
    )


def relative_speed(scenario: FleetScenario, gpu: str) -> tuple[Uncertain, Said]:
    """Tokens/s per GPU over those of the scenario's first chip, for its mix of phases and the same software."""
    demand = scenario.demand
    mix = demand.input_tokens_per_day.mid, demand.output_tokens_per_day.mid
    date = scenario.serving.software_date or scenario.start
    ratio = scenario_rates(scenario, date=date).seconds(*mix) / scenario_rates(scenario, gpu, date).seconds(*mix)
    note = said("A GPU of {chip} serves {ratio:.2f} times what the first one does (predicted)", chip=gpu, ratio=ratio)
    source = said("predicted by centime plan serve; range assumed")
    return Uncertain(low=0.8 * ratio, mid=ratio, high=1.25 * ratio, source=source), note


@functools.cache
def run_gpu_hours(model: str, gpu: str, tokens: float, gpus: int) -> tuple[Uncertain, Said]:
    """GPU-hours of one training run of `model` on `gpus` chips, all its stages, in the fastest layout, and a sentence
    about them. Raises UserError where the planner cannot predict it."""
    from centime.plan.training.plan import plan_training
    from centime.plan.training.request import TrainingRequest

    plan = plan_training(TrainingRequest(model, tokens, gpu, gpus, layout="auto"), quick=True)
    source = said(
        "predicted by centime plan train: {model} on {gpus} {chip}", model=model, gpus=gpus, chip=plan.chip.name
    )
    hours = Uncertain(low=plan.low_hours, mid=plan.gpu_hours, high=plan.high_hours, source=source)
    note = said(
        "A training run of {model} is {tokens:T.1f}T tokens on {gpus:,|GPU|GPUs}: {hours:,.0f} GPU-hours (predicted)",
        model=model,
        tokens=tokens,
        gpus=gpus,
        hours=plan.gpu_hours,
    )
    return hours, note
