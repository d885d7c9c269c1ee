"""Plans `plan breakeven`: the fleet's layouts, the hour of a GPU, the APIs' lists, and what is assumed of them."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.messages import Amount, said
from centime.plan.breakeven.api import ApiCost, api_cost
from centime.plan.breakeven.fleet import own_fleet
from centime.plan.breakeven.hour import Hour, hour_of
from centime.plan.breakeven.plan import BreakevenPlan
from centime.plan.breakeven.replay import replayed
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.breakeven.trace import Trace
from centime.plan.breakeven.trace_file import read_trace
from centime.plan.serving.choice import Lengths
from centime.plan.serving.costs import model_cost
from centime.plan.serving.interval import nearest_measured, spread_of
from centime.plan.serving.units import weights_form
from centime.plan.typed_inputs import typed

MOST_HIT = 0.999  # of a trace: something of every prompt is computed


def plan_breakeven(request: BreakevenRequest) -> BreakevenPlan:
    """Plan it. Raises UserError for a model, chip or list nobody knows, and units that cannot serve in the limits."""
    asked, trace = request, read_trace(Path(request.trace)) if request.trace is not None else None
    arch, kind = architecture(request.model), chip(request.gpu)
    if trace is not None:
        request = of_trace(request, trace)
    hour = hour_of(request, kind)
    if request.staff and request.staff_currency != hour.price.currency:
        raise UserError(
            f"--staff is in {request.staff_currency}, the GPU-hour is in {hour.price.currency}; give one currency."
        )
    apis = tuple(api_cost(text, request, trace) for text in request.apis)
    for api in apis:
        if api.prices.currency != hour.price.currency:
            raise UserError(
                f"--api {api.name} is in {api.prices.currency}, the GPU-hour is in {hour.price.currency}; give one "
                "currency."
            )
    load = request.load
    lengths = Lengths(load.isl, load.osl, load.hit)
    date = request.date or datetime.date.today().isoformat()
    fleet = own_fleet(request.serving(), lengths, date)
    limits = (request.ttft_s, request.tpot_s)
    return BreakevenPlan(
        asked,
        request,
        kind,
        lengths,
        fleet,
        hour,
        apis,
        spread_of(min(fleet.options, key=lambda one: one.gpus_per_rate).choice, lengths, arch.name),
        (nearest_measured(arch.name, kind), *_assumed(request, hour, apis, trace), *map(said, arch.assumptions)),
        tuple(dict.fromkeys(s for s in (arch.source, kind.source, *(api.prices.source for api in apis)) if s)),
        trace,
        replayed(fleet, trace, lengths, limits) if trace is not None else None,
    )


def from_inputs(inputs: dict[str, Any]) -> BreakevenPlan:
    """The plan of a card's inputs. Raises UserError on keys and values that are none of a request."""
    return plan_breakeven(typed(BreakevenRequest, inputs, "inputs of breakeven"))


def of_trace(request: BreakevenRequest, trace: Trace) -> BreakevenRequest:
    """The question with the trace's lengths, hits and peak in place of the trace."""
    hit = min(trace.hit, MOST_HIT)
    return replace(request, trace=None, isl=trace.isl, osl=trace.osl, hit=hit, peak_to_mean=trace.peak_to_mean)


def _assumed(request: BreakevenRequest, hour: Hour, apis: tuple[ApiCost, ...], trace: Trace | None) -> list[str]:
    found: list[str] = [
        said(
            "Requests of {isl:,.0f} tokens in, {hit:.0%} of them cached, and {osl:,.0f} out; first token within "
            "{ttft:g} s for 99 of 100, a token each {tpot:g} ms",
            isl=request.load.isl,
            hit=request.load.hit,
            osl=request.load.osl,
            ttft=request.ttft_s,
            tpot=request.tpot_s * 1e3,
        ),
        said(
            "The fleet is rented or owned around the clock and holds the peak, {ratio:.3f} times the mean, in whole "
            "units",
            ratio=request.load.peak_to_mean,
        ),
        hour.note,
    ]
    arch = architecture(request.model)
    found += weights_form(chip(request.gpu), arch, model_cost(arch), request.precision)[1]
    if request.staff:
        staff = Amount(request.staff, hour.price.currency)
        found.append(said("People who run the fleet: {staff:money} a month", staff=staff))
    else:
        found.append(said("No people are counted; --staff adds what those who run the fleet cost a month"))
    weighed = request.peak_share is not None or (trace is not None and trace.dated)
    if any(api.peak_share is not None for api in apis) and not weighed:
        found.append(said("Tokens come evenly over the week, as the API's peak hours see them (assumption)"))
    if trace is not None:
        found.append(
            said(
                "Trace: {n:,} requests over {hours:,.1f} hours; columns {columns}; dealt to units in turn, the busiest "
                "hour replayed, hours held by their busiest ten minutes, units ready when they are needed",
                n=len(trace.requests),
                hours=trace.seconds / 3600,
                columns=list(trace.columns),
            )
        )
    found.append(said("Not counted: network, storage, spare GPUs for failures, and what the API's answers are worth"))
    return found
