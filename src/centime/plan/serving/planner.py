"""What serving a model takes: units, batch, latency, tokens per second, GPUs, dollars per million tokens, margin.

Prefill and decode are sized apart (or together, where that is cheaper): the roofline gives the time of a step, the
limits of latency give batch and load, demand gives the GPUs, the price of an hour gives the rest. docs/plan-serving.md
derives every formula.
"""

from __future__ import annotations

import datetime
import math
from typing import Any

from centime.catalogue.api_prices import price_list
from centime.catalogue.chips import chip
from centime.catalogue.currencies.exchange import in_currency
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.models import architecture
from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.messages import said
from centime.plan.serving.choice import Choice, Lengths, Mixed, Split, choices, requests_per_s
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel
from centime.plan.serving.interval import nearest_measured, spread_of
from centime.plan.serving.money import spent
from centime.plan.serving.plan import (
    PEAK_TO_MEAN,
    Considered,
    MakersLayout,
    ServingPlan,
    busy_gpus,
    considered,
    peak_to_mean,
)
from centime.plan.serving.request import Demand, ServingRequest, check_engine, parse_units
from centime.plan.serving.speeds import ServingSoftware, speeds, year
from centime.plan.serving.trial import Tried, best_tried
from centime.plan.serving.units import Unit, check_units, published_layout, weights_form
from centime.plan.typed_inputs import typed
from centime.units import SECONDS_PER_DAY

DEFAULT_ISL, DEFAULT_OSL = 4096.0, 1024.0
OVERSIZED = 1.5  # times the GPUs that a demand keeps busy at its peak
AGREE = 1.1  # times by which the ratio of lengths may differ from that of a demand: people round


def plan_serving(request: ServingRequest) -> ServingPlan:
    """Plan it. Raises UserError for a model or chip nobody knows, or units that cannot serve within the limits."""
    arch, kind = architecture(request.model), chip(request.gpu)
    check_engine(request.engine, kind)
    cost = model_cost(arch)
    lengths, notes = _lengths(request)
    form, weights = weights_form(kind, arch, cost, request.precision)
    date = request.date or datetime.date.today().isoformat()
    software = ServingSoftware(request.engine, year(date))
    drafts = request.mtp
    if drafts and not cost.mtp_params:
        raise UserError(f"--mtp {drafts}: {arch.name} has no MTP module to draft with.")
    engine = EngineModel(
        cost, kind, Unit(), form, speeds(kind, software), drafts, request.acceptance if drafts else 0.0
    )
    given = None if request.layout == "auto" else parse_units(request.layout, arch.is_mixture)
    if given:
        check_units(given, arch, request.gpus)
    ordered = choices(engine, lengths, request.ttft_s, request.tpot_s, given, request.gpus)
    tried = best_tried(ordered, lengths, request.ttft_s, request.tpot_s, request.gpus)
    rivals = considered(ordered, lengths, request.gpus)
    if request.demand is not None and given is None:
        tried, rivals = _on_fewer(request, engine, lengths, tried, rivals)
    choice, simulated = tried
    demand, prefill_gpus, decode_gpus = _sized(request, lengths, choice)
    price = in_currency(
        gpu_hour(kind, request.date, request.price, request.market, request.price_region), request.currency
    )
    prices = price_list(request.prices, request.date) if request.prices else None
    if prices and price.currency != prices.currency:
        raise UserError(
            f"--prices are in {prices.currency}, the GPU-hour is in {price.currency}; give one currency, such as "
            f"--prices '1,2,3 {price.currency}'."
        )
    idle = (request.gpus or 0) - busy_gpus(request, choice, prefill_gpus, decode_gpus) if request.gpus else 0
    if idle > 0:
        notes.append(said("{idle} of {gpus} GPUs are left idle: units are whole", idle=idle, gpus=request.gpus))
    low, high = spread_of(choice, lengths, arch.name)
    notes.append(nearest_measured(arch.name, kind))
    notes += [*weights, *_assumed(request, price, choice)]
    return ServingPlan(
        request,
        arch,
        kind,
        lengths,
        demand,
        choice,
        prefill_gpus,
        decode_gpus,
        price,
        prices,
        spent(demand, lengths, choice, prefill_gpus, decode_gpus, price, prices),
        low,
        high,
        simulated,
        (*notes, *(said(text) for text in arch.assumptions)),
        tuple(dict.fromkeys(s for s in (arch.source, kind.source, price.source, prices.source if prices else "") if s)),
        _as_its_makers(request, engine, lengths, price),
        rivals,
    )


Rivals = tuple[Considered, ...]


def _on_fewer(
    request: ServingRequest, engine: EngineModel, lengths: Lengths, cheapest: Tried, rivals: Rivals
) -> tuple[Tried, Rivals]:
    """The units that serve a small demand on far fewer GPUs than whole units of those that cost least a token, with
    what was considered beside them; else these. A unit of hundreds of GPUs is cheapest where it is busy, and stands
    idle where tens of them would do."""
    prefill, decode = _sized(request, lengths, cheapest[0])[1:]
    least = (prefill + decode) * peak_to_mean(request)
    most = busy_gpus(request, cheapest[0], prefill, decode) / OVERSIZED
    gpus = math.ceil(least)
    while gpus <= most:
        try:
            ordered = choices(engine, lengths, request.ttft_s, request.tpot_s, None, gpus)
            tried = best_tried(ordered, lengths, request.ttft_s, request.tpot_s, gpus)
        except UserError:  # nothing that holds the model, or keeps to the limits, on so few
            ordered, tried = [], cheapest
        if ordered and busy_gpus(request, tried[0], *_sized(request, lengths, tried[0])[1:]) <= most:
            return tried, considered(ordered, lengths, gpus)
        gpus = math.ceil(1.25 * gpus)
    return cheapest, rivals


def _as_its_makers(request: ServingRequest, engine: EngineModel, lengths: Lengths, price: Price) -> MakersLayout | None:
    """What the demand takes on the makers' own units; None where they are asked for, unknown, or too slow for it."""
    published = published_layout(architecture(request.model).name, engine.chip)
    if request.demand is None or request.layout != "auto" or published is None:
        return None
    layout, source = published
    units = parse_units(layout, engine.model.is_mixture)
    try:
        choice = choices(engine, lengths, request.ttft_s, request.tpot_s, units, None)[0]
    except UserError:
        return None
    demand, prefill_gpus, decode_gpus = _sized(request, lengths, choice)
    cost = spent(demand, lengths, choice, prefill_gpus, decode_gpus, price, None).cost_per_day
    return MakersLayout(layout, prefill_gpus + decode_gpus, cost, source)


def from_inputs(inputs: dict[str, Any]) -> ServingPlan:
    """The plan of a card's inputs. Raises UserError on keys and values that are none of a request."""
    return plan_serving(typed(ServingRequest, inputs, "inputs of serve"))


def _lengths(request: ServingRequest) -> tuple[Lengths, list[str]]:
    """Mean lengths: given, from demand's ratio and the mean cache length, or the defaults."""
    hit = request.demand.hit if request.demand else request.hit
    isl, osl = request.isl, request.osl
    notes: list[str] = []
    ratio = request.demand.input_per_day / request.demand.output_per_day if request.demand else None
    if ratio and request.context and not (isl or osl):
        osl = request.context / (ratio + 0.5)
        isl = ratio * osl
        notes.append(
            said(
                "Lengths from the ratio of input to output and the mean cache length: {isl:,.0f} in, {osl:,.0f} out",
                isl=isl,
                osl=osl,
            )
        )
    if ratio and isl and osl and not 1 / AGREE < ratio * osl / isl < AGREE:
        raise UserError(
            f"--demand has {ratio:.3g} tokens in for each token out, --isl and --osl {isl / osl:.3g}; leave one of the "
            "two lengths out, and it follows from the demand."
        )
    if ratio and isl and not osl:
        osl = isl / ratio
    if ratio and osl and not isl:
        isl = osl * ratio
    if isl is None and osl is None and ratio:
        osl = DEFAULT_OSL
        isl = osl * ratio
        notes.append(said("Answers of {osl:,.0f} tokens (assumption)", osl=osl))
    if isl is None or osl is None:
        isl, osl = isl or DEFAULT_ISL, osl or DEFAULT_OSL
        notes.append(said("Requests of {isl:,.0f} tokens in and {osl:,.0f} out (assumption)", isl=isl, osl=osl))
    return Lengths(isl, osl, hit), notes


def _sized(request: ServingRequest, lengths: Lengths, choice: Choice) -> tuple[Demand, float, float]:
    """Demand and the GPUs of each phase at the mean load: from demand, or from whole units of the GPUs at the peak."""
    demand = request.demand
    if demand is None:
        peak = requests_per_s(choice, lengths, request.gpus or 0) / peak_to_mean(request)
        demand = Demand(peak * lengths.isl * SECONDS_PER_DAY, peak * lengths.osl * SECONDS_PER_DAY, lengths.hit)
    per_second = demand.output_per_day / SECONDS_PER_DAY
    if isinstance(choice, Mixed):
        return demand, 0.0, per_second / choice.tokens_per_s_per_gpu
    prefill = demand.input_per_day / SECONDS_PER_DAY / choice.prefill.tokens_per_s_per_gpu
    return demand, prefill, per_second / choice.decode.tokens_per_s_per_gpu


def _assumed(request: ServingRequest, price: Price, choice: Choice) -> list[str]:
    found: list[str] = []
    if request.peak_to_mean is None:
        found.append(
            said(
                "Peak over mean {ratio:.3f}, as DeepSeek's nodes on {date:date}", ratio=PEAK_TO_MEAN, date="2025-02-27"
            )
        )
    found.append(
        said(
            "Limits: first token within {ttft:g} s for 99 of 100, a token each {tpot:g} ms on average",
            ttft=request.ttft_s,
            tpot=request.tpot_s * 1e3,
        )
    )
    if isinstance(choice, Split):
        found.append(said("Prefill units keep a headroom of 20 % for bursts; decode units absorb them in token time."))
    if request.mtp == 0:
        found.append(said("No speculation; --mtp 1 drafts a token a step where the model has an MTP module."))
    if price.kind == "assumed":
        found.append(price.sentence())
    if request.market == "spot":
        found.append(said("Requests that are lost when a spot market takes chips back are not counted."))
    return found
