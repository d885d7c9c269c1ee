"""Lives priced by the planner: training steps and serving units, in the money of the chosen chips."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import chip
from centime.catalogue.currencies.exchange import in_currency
from centime.catalogue.hourly_prices import gpu_hour, how_old
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.counts.architecture import count_architecture
from centime.plan.lifetime.request import Costs, LifetimeRequest
from centime.plan.serving.choice import Lengths, cheapest_units
from centime.plan.serving.interval import spread_of
from centime.plan.serving.speeds import NEWEST, ServingSoftware, year
from centime.plan.serving.units import number_format
from centime.plan.step.prediction import check_precision, default_precision, software_at
from centime.plan.training.request import SEQ, default_batch
from centime.plan.training.searched_step import SearchedStep, Searcher
from centime.units import SECONDS_PER_DAY

LEAST_CHIPS, MOST_CHIPS = 64, 16384
TRAIN_DAYS = 60.0  # DeepSeek-V3's pre-training took 54
ROUGH_MFU = 0.35  # only to choose how many chips train


def planner_costs(request: LifetimeRequest) -> tuple[Costs, LifetimeRequest, list[Said]]:
    """Costs in money, the request with what it left open written out, and what was assumed."""
    trains, serves = chip(request.gpu), chip(request.serve_gpu or request.gpu)
    request = replace(request, software_date=request.software_date or software_at(request.date))
    paid = in_currency(gpu_hour(trains, request.date, request.price), request.currency)
    asked = request.serve_price or (request.price if serves == trains else None)
    served = in_currency(gpu_hour(serves, request.date, asked), request.currency)
    if paid.currency != served.currency:
        raise UserError(
            f"Training is priced in {paid.currency} and serving in {served.currency}; give both prices in one "
            "currency, or --currency."
        )
    precision = request.precision or default_precision(trains)
    check_precision(precision, trains)
    formats = request.precisions or tuple(
        name
        for name, peak in (("bf16", serves.bf16_tflops), ("fp8", serves.fp8_tflops), ("fp4", serves.fp4_tflops))
        if peak
    )
    for name in formats:
        number_format(name, mixture=False)  # says what is wrong with a precision that is none
    for flag, hour in (("--price", paid), ("--serve-price", served)):
        if hour.per_device_hour < 1e-9:  # below it, quotients of costs lose their meaning
            raise UserError(
                f"{flag} {hour.per_device_hour:g} {hour.currency}/h is as good as nothing, and a life at no cost has "
                "no cheapest size; give what an hour costs, or --flops to count FLOPs."
            )
    search = Searcher()
    lengths = Lengths(request.isl, request.osl, request.hit)
    software = ServingSoftware("", year(request.software_date or NEWEST))

    def train(arch: Architecture, tokens: float) -> tuple[float, tuple[float, float]]:
        flops = count_architecture(arch, SEQ).train_flops_per_token * tokens
        wanted = flops / (ROUGH_MFU * trains.peak("bf16") * TRAIN_DAYS * SECONDS_PER_DAY)
        gpus = min(MOST_CHIPS, max(LEAST_CHIPS, 1 << max(0, math.ceil(math.log2(wanted)))))
        batch = default_batch(gpus, SEQ, searched=True)
        at = SearchedStep(arch, trains, gpus, SEQ, batch, precision, None, request.software_date or "")
        hours = search(at) * tokens / 3600
        return hours * paid.per_device_hour, search.interval(at)

    @functools.cache
    def serve(arch: Architecture, name: str) -> tuple[float, tuple[float, float]] | None:
        try:
            choice = cheapest_units(arch, serves, name, lengths, request.ttft_s, request.tpot_s, software)
        except UserError:  # too large for this chip's units, or too slow
            return None
        seconds = choice.gpu_seconds(lengths) / (lengths.isl + lengths.osl)
        low, high = spread_of(choice, lengths, arch.name)
        return seconds * served.per_device_hour / 3600, (1 / high, 1 / low)

    notes = [
        said("Training: {chip}, {precision}, {price}", chip=trains.name, precision=precision, price=paid.sentence()),
        said("Serving: {chip}, {price}", chip=serves.name, price=served.sentence()),
        said(
            "Served tokens are prompts and answers, {isl:,.0f} to {osl:,.0f}; {hit:.0%} of prompts from the cache; "
            "first token within {ttft:g} s, then one each {tpot:g} ms",
            isl=request.isl, osl=request.osl, hit=request.hit, ttft=request.ttft_s, tpot=1e3 * request.tpot_s,
        ),
        said(
            "Each run gets the chips that train it in about {days:.0f} days, {least} to {most:,}; chips serve at the "
            "load their units are chosen for, the idle hours of a day not counted",
            days=TRAIN_DAYS, least=LEAST_CHIPS, most=MOST_CHIPS,
        ),
        said("A narrower serving precision is taken to cost no quality; post-training is left out"),
        *how_old([paid, served]),
    ]  # fmt: skip
    resolved = replace(
        request,
        precision=precision,
        precisions=formats,
        price=f"{paid.per_device_hour:.12g} {paid.currency}/h",
        serve_price=f"{served.per_device_hour:.12g} {served.currency}/h",
    )
    return Costs(paid.currency, formats, train, serve), resolved, notes
