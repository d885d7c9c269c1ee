"""Plans `plan frontier`: every chip with every engine and precision, one after the other."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip, chip
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.models import architecture
from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.frontier.curve import frontier, points
from centime.plan.frontier.layouts import possible, tried_layouts
from centime.plan.frontier.measured import measured
from centime.plan.frontier.plan import Curve, FrontierPlan
from centime.plan.frontier.request import FrontierRequest
from centime.plan.serving.choice import Lengths, Prefill, prefills, units_to_try
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import PLENTY, EngineModel, most_prompted
from centime.plan.serving.interval import nearest_measured, spread
from centime.plan.serving.request import check_engine
from centime.plan.serving.speeds import ServingSoftware, ideal, speeds, year
from centime.plan.serving.units import Unit, as_stored, usual_precision, weights_form
from centime.plan.typed_inputs import typed


def plan_frontier(request: FrontierRequest) -> FrontierPlan:
    """Plan it. Raises UserError for names nobody knows; a curve that cannot be says why, and the others stand."""
    arch = architecture(request.model)
    kinds = tuple(chip(name) for name in request.chips)
    lengths = Lengths(request.isl, request.osl, request.hit)
    date = request.date or datetime.date.today().isoformat()
    curves = tuple(
        _curve(request, arch, kind, (engine, precision, request.price_of(name)), date)
        for name, kind in zip(request.chips, kinds, strict=True)
        for engine in request.engines
        for precision in request.precisions
    )
    currencies = sorted({curve.price.currency for curve in curves if curve.price})
    if len(currencies) > 1:
        raise UserError(f"--price: hours are in {' and '.join(currencies)}; give all of them in one currency.")
    found = measured(Path(request.measured), arch.name, kinds, lengths) if request.measured else None
    sources = dict.fromkeys(s for s in (arch.source, *(kind.source for kind in kinds)) if s)
    return FrontierPlan(
        request,
        arch.name,
        lengths,
        curves,
        found,
        (
            *_assumed(request),
            *(as_stored(arch) if "" in request.precisions else ()),
            *(nearest_measured(arch.name, kind) for kind in kinds),
            *map(said, arch.assumptions),
        ),
        tuple(sources),
    )


def from_inputs(inputs: dict[str, Any]) -> FrontierPlan:
    """The plan of a card's inputs. Raises UserError on keys and values that are none of a request."""
    return plan_frontier(typed(FrontierRequest, inputs, "inputs of frontier"))


def _curve(
    request: FrontierRequest, arch: Architecture, kind: Chip, run: tuple[str, str, str | None], date: str
) -> Curve:
    engine_name, asked, given = run
    cost = model_cost(arch)
    precision = asked or usual_precision(kind)
    low, high = spread(arch.name, kind)
    price = _price(kind, request.date, given)
    try:
        check_engine(engine_name, kind)
        form, _ = weights_form(kind, arch, cost, asked)
        precision = asked or form.name
        software = ServingSoftware(engine_name, year(date))
        engine = EngineModel(cost, kind, Unit(), form, speeds(kind, software))
        units = possible(units_to_try(kind, arch.is_mixture, request.gpus), arch)
        lengths = Lengths(request.isl, request.osl, request.hit)
        layouts = tried_layouts(engine, arch, units, lengths, (request.ttft_s, request.tpot_s))
        first = prefills(engine, units, lengths, request.ttft_s)
        line = frontier(points(engine, units, lengths, first[0] if first else None))
        most = frontier(points(replace(engine, speeds=ideal(kind)), units, lengths, _ideal(engine, units, lengths)))
    except UserError as error:
        return Curve(kind, engine_name, precision, price, low, high, (), (), error.args[0])
    why: Said | str = ""
    if not line:
        why = layouts[0].why or ""
    return Curve(kind, engine_name, precision, price, low, high, tuple(line), tuple(layouts), why, tuple(most))


def _ideal(engine: EngineModel, units: Sequence[Unit], lengths: Lengths) -> Prefill | None:
    """The unit that prefills most with nothing in its way; None where no prompt fits."""
    tried = [replace(engine, unit=unit, speeds=ideal(engine.chip)) for unit in units]
    able = [one for one in tried if one.room(lengths.isl) >= one.unit.dp]
    rates = [Prefill(one, PLENTY, 1.0, most_prompted(one, lengths.isl, lengths.hit)) for one in able]
    return max(rates, key=lambda one: one.tokens_per_s_per_gpu, default=None)


def _price(kind: Chip, date: str | None, given: str | None) -> Price | None:
    try:
        return gpu_hour(kind, date, given)
    except UserError:
        return None


def _assumed(request: FrontierRequest) -> list[str]:
    return [
        said(
            "Requests of {isl:,.0f} tokens in, {hit:.0%} of them cached, and {osl:,.0f} out",
            isl=request.isl,
            hit=request.hit,
            osl=request.osl,
        ),
        said(
            "Curves: the steady state of as many clients as there are sequences; nobody waits, chips that prefill count"
        ),
        said(
            "Layouts: random arrivals, first token within {ttft:g} s for 99 of 100, a token each {tpot:g} ms; before "
            "the simulation of plan serve",
            ttft=request.ttft_s,
            tpot=request.tpot_s * 1e3,
        ),
        said("Degrees that divide the model's heads and experts, no speculation"),
    ]
