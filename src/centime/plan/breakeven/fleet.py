"""One's own fleet at any load: whole units of the layout that takes the fewest GPUs there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.choice import Choice, Lengths, Mixed, Split, choices, decodes, mixes, prefills, units_to_try
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel
from centime.plan.serving.request import ServingRequest, parse_units
from centime.plan.serving.speeds import ServingSoftware, speeds, year
from centime.plan.serving.trial import tried_out
from centime.plan.serving.units import Unit, check_units, weights_form

LOADS = (
    12  # from one request in ten seconds on, a factor of ROOM apart: where layouts are compared before they are tried
)
FIRST, ROOM = 0.1, 4.0


@dataclass(frozen=True)
class FleetUnit:
    """Units of one layout: GPUs of each, requests a second that one takes."""

    gpus: int
    rate: float

    def gpus_for(self, rate: float) -> int:
        """Whole units for a load of so many requests a second, at least one."""
        return max(1, math.ceil(rate / self.rate - 1e-9)) * self.gpus


@dataclass(frozen=True)
class FleetOption:
    """A layout that was tried in the simulation: units that do both, or prefill and decode on units of their own."""

    choice: Choice
    kinds: tuple[FleetUnit, ...]

    @property
    def name(self) -> str:
        """'TP8', or 'DP32/EP32 + DP144/EP144'."""
        if isinstance(self.choice, Mixed):
            return self.choice.engine.unit.text()
        return f"{self.choice.prefill.engine.unit.text()} + {self.choice.decode.engine.unit.text()}"

    @property
    def gpus_per_rate(self) -> float:
        """GPUs for a request a second, units not rounded."""
        return sum(kind.gpus / kind.rate for kind in self.kinds)

    def gpus_for(self, rate: float, factor: float = 1.0) -> int:
        """GPUs of whole units for `rate` requests a second, where units take `factor` times what is predicted."""
        return sum(kind.gpus_for(rate / factor) for kind in self.kinds)


@dataclass(frozen=True)
class OwnFleet:
    """The layouts that take the fewest GPUs at some load."""

    options: tuple[FleetOption, ...]

    def best(self, rate: float, factor: float = 1.0) -> FleetOption:
        """The layout with the fewest GPUs at a load of `rate` requests a second; of equal ones the least busy."""
        return min(self.options, key=lambda one: (one.gpus_for(rate, factor), one.gpus_per_rate))

    def gpus_for(self, rate: float, factor: float = 1.0) -> int:
        """The fewest GPUs of whole units at that load."""
        return self.best(rate, factor).gpus_for(rate, factor)


def engine_of(request: ServingRequest, date: str) -> EngineModel:
    """The model on the chip in the precision asked for, at the speeds of the date's software. Raises UserError."""
    arch, kind = architecture(request.model), chip(request.gpu)
    cost = model_cost(arch)
    form, _ = weights_form(kind, arch, cost, request.precision)
    software = ServingSoftware(request.engine, year(date))
    return EngineModel(cost, kind, Unit(), form, speeds(kind, software))


def own_fleet(request: ServingRequest, lengths: Lengths, date: str) -> OwnFleet:
    """The layouts that win at some load, each simulated at its own.

    Raises UserError that says what stands in the way where none keeps to the limits.
    """
    engine, arch = engine_of(request, date), architecture(request.model)
    given = None if request.layout == "auto" else parse_units(request.layout, arch.is_mixture)
    if given:
        check_units(given, arch, None)
    limits = (request.ttft_s, request.tpot_s)
    options: list[FleetOption] = []
    refused: UserError | None = None
    for choice in _winners(_candidates(engine, lengths, limits, given), lengths):
        try:
            options.append(_option(tried_out(choice, lengths, *limits)[0], lengths))
        except UserError as error:
            refused = refused or error
    if not options:
        raise refused or AssertionError("choices raises where there is none")
    return OwnFleet(tuple(options))


def _candidates(
    engine: EngineModel, lengths: Lengths, limits: tuple[float, float], given: dict[str, Unit] | None
) -> list[Choice]:
    """Every pair of units apart and every unit of both phases that keeps to the limits by the closed forms."""
    if given:
        return choices(engine, lengths, *limits, given, None)
    units = units_to_try(engine.chip, engine.model.is_mixture, None)
    first, then = prefills(engine, units, lengths, limits[0]), decodes(engine, units, lengths, limits[1])
    found: list[Choice] = [Split(one, two) for one in first for two in then]
    found += mixes(engine, units, lengths, *limits)
    return found or choices(engine, lengths, *limits, None, None)


def _winners(candidates: Sequence[Choice], lengths: Lengths) -> Iterable[Choice]:
    """Those that take the fewest GPUs at one of the loads, or the fewest for a request where fleets are large."""
    options = OwnFleet(tuple(_option(choice, lengths) for choice in candidates))
    won = [options.best(FIRST * ROOM**i) for i in range(LOADS)]
    won.append(min(options.options, key=lambda one: one.gpus_per_rate))
    return list({option.name: option.choice for option in won}.values())


def _option(choice: Choice, lengths: Lengths) -> FleetOption:
    if isinstance(choice, Mixed):
        return FleetOption(choice, (FleetUnit(choice.engine.unit.chips, choice.state.tokens_per_s / lengths.osl),))
    first, then = choice.prefill.engine.unit.chips, choice.decode.engine.unit.chips
    return FleetOption(
        choice,
        (
            FleetUnit(first, choice.prefill.tokens_per_s_per_gpu * first / lengths.isl),
            FleetUnit(then, choice.decode.tokens_per_s_per_gpu * then / lengths.osl),
        ),
    )
