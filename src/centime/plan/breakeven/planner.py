"""Plans `plan breakeven`: the fleet's layouts, the hour of a GPU, the APIs' lists, and what is assumed of them."""

from __future__ import annotations

import datetime
from typing import Any

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.messages import Amount, said
from centime.plan.breakeven.api import ApiCost, api_cost
from centime.plan.breakeven.fleet import own_fleet
from centime.plan.breakeven.hour import Hour, hour_of
from centime.plan.breakeven.plan import BreakevenPlan
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.serving.choice import Lengths
from centime.plan.serving.interval import nearest_measured, spread
from centime.plan.serving.units import usual_precision
from centime.plan.typed_inputs import typed


def plan_breakeven(request: BreakevenRequest) -> BreakevenPlan:
    """Plan it. Raises UserError for a model, chip or list nobody knows, and units that cannot serve in the limits."""
    arch, kind = architecture(request.model), chip(request.gpu)
    hour = hour_of(request, kind)
    apis = tuple(api_cost(text, request) for text in request.apis)
    for api in apis:
        if api.prices.currency != hour.price.currency:
            raise UserError(
                f"--api {api.name} is in {api.prices.currency}, the GPU-hour is in {hour.price.currency}; give one "
                "currency."
            )
    lengths = Lengths(request.isl, request.osl, request.hit)
    date = request.date or datetime.date.today().isoformat()
    fleet = own_fleet(request.serving(), lengths, date)
    return BreakevenPlan(
        request,
        kind,
        lengths,
        fleet,
        hour,
        apis,
        spread(arch.name, kind),
        (nearest_measured(arch.name, kind), *_assumed(request, hour, apis), *map(said, arch.assumptions)),
        tuple(dict.fromkeys(s for s in (arch.source, kind.source, *(api.prices.source for api in apis)) if s)),
    )


def from_inputs(inputs: dict[str, Any]) -> BreakevenPlan:
    """The plan of a card's inputs. Raises UserError on keys and values that are none of a request."""
    return plan_breakeven(typed(BreakevenRequest, inputs, "inputs of breakeven"))


def _assumed(request: BreakevenRequest, hour: Hour, apis: tuple[ApiCost, ...]) -> list[str]:
    found: list[str] = [
        said(
            "Requests of {isl:,.0f} tokens in, {hit:.0%} of them cached, and {osl:,.0f} out; first token within "
            "{ttft:g} s for 99 of 100, a token each {tpot:g} ms",
            isl=request.isl,
            hit=request.hit,
            osl=request.osl,
            ttft=request.ttft_s,
            tpot=request.tpot_s * 1e3,
        ),
        said(
            "The fleet is rented or owned around the clock and holds the peak, {ratio:.3f} times the mean, in whole "
            "units",
            ratio=request.peak_to_mean,
        ),
        hour.note,
    ]
    if request.precision is None:
        found.append(said("Weights in {precision} (assumption)", precision=usual_precision(chip(request.gpu))))
    if request.staff:
        staff = Amount(request.staff, hour.price.currency)
        found.append(said("People who run the fleet: {staff:money} a month", staff=staff))
    else:
        found.append(said("No people are counted; --staff adds what those who run the fleet cost a month"))
    if any(api.peak_share is not None for api in apis) and request.peak_share is None:
        found.append(said("Tokens come evenly over the week, as the API's peak hours see them (assumption)"))
    found.append(said("Not counted: network, storage, spare GPUs for failures, and what the API's answers are worth"))
    return found
