"""The plan of `plan frontier`: a curve for each chip, engine and precision, the layouts behind it, and what is best."""

from __future__ import annotations

import dataclasses
import datetime
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from centime.catalogue.chips import Chip
from centime.catalogue.prices import Price
from centime.messages import Said
from centime.plan.frontier.curve import SpeedPoint, at_speed, between
from centime.plan.frontier.launch import Launched, Role, launch_lines, longest
from centime.plan.frontier.layouts import SHOWN, Tried
from centime.plan.frontier.measured import Measured
from centime.plan.frontier.memory import UnitMemory, memory_of
from centime.plan.frontier.request import FrontierRequest
from centime.plan.serving.choice import Lengths
from centime.plan.serving.interval import most_per_chip
from centime.plan.serving.units import Unit

MILLION = 1e6
SPEEDS = (20.0, 40.0, 60.0, 100.0)  # tokens/s of a user, that are told


@dataclass(frozen=True)
class Curve:
    """A chip with an engine and a precision: its frontier, its layouts, and why it has none where it has none.

    low, high: the factors of the 80 % interval on tokens of a chip, which no end lets a chip give more than it can:
    ceiling is the frontier with nothing in the way but bandwidth and peaks.
    """

    chip: Chip
    engine: str
    precision: str
    price: Price | None
    low: float
    high: float
    points: tuple[SpeedPoint, ...]
    layouts: tuple[Tried, ...]
    why_not: Said | str = ""
    ceiling: tuple[SpeedPoint, ...] = ()

    @property
    def name(self) -> str:
        """'H200 SXM 141GB, fp8, sglang'."""
        return ", ".join(part for part in (self.chip.name, self.precision, self.engine) if part)

    @property
    def best(self) -> Tried | None:
        """The layout with the most tokens of a chip within the limits."""
        return self.layouts[0] if self.layouts and self.layouts[0].serves else None

    def per_dollar(self, per_chip: float) -> float | None:
        """Output tokens for a unit of the currency, of a chip with so many a second; None without a price."""
        hour = self.price.per_device_hour if self.price else 0.0
        found = per_chip * 3600 / hour if hour else math.inf
        return found if math.isfinite(found) else None

    def at(self, per_user: float) -> SpeedPoint | None:
        """The best point at a speed for a user."""
        return at_speed(list(self.points), per_user)

    def sampled(self, speeds: Iterable[float]) -> list[tuple[float, float]]:
        """(speed for a user, tokens/s of a chip) at each of the speeds that the curve reaches."""
        points = list(self.points)
        return [(speed, rate) for speed in speeds if (rate := between(points, speed)) is not None]

    def band(self, per_user: float, per_chip: float) -> tuple[float, float]:
        """The 80 % interval of tokens of a chip at a speed for a user."""
        most = between(list(self.ceiling), per_user) if self.ceiling else None
        if most is None and self.ceiling:  # slower than all of it; nothing is faster
            most = self.ceiling[0].per_chip
        high = per_chip * self.high if most is None else min(per_chip * self.high, max(per_chip, most))
        return per_chip * self.low, high

    def span(self, one: Tried, lengths: Lengths) -> tuple[float, float]:
        """The same of a layout at its working load."""
        most = most_per_chip(one.engine, one.prefill.engine if one.prefill else None, lengths)
        return one.per_chip * self.low, min(one.per_chip * self.high, max(one.per_chip, most))

    def memory(self, lengths: Lengths) -> UnitMemory | None:
        """Of the best layout, of the units that decode or do both."""
        return memory_of(self.best.engine, self.best.batch, lengths) if self.best else None


@dataclass(frozen=True)
class FrontierPlan:
    """The curves in the order asked for."""

    verb: ClassVar[str] = "frontier"
    request: FrontierRequest
    model: str
    lengths: Lengths
    curves: tuple[Curve, ...]
    measured: Measured | None
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def shown(self) -> list[Curve]:
        """Curves that have a point."""
        return [curve for curve in self.curves if curve.points]

    def speeds(self, count: int) -> list[float]:
        """So many speeds for a user, a factor apart, from the slowest point of any curve to the fastest."""
        known = [point.per_user for curve in self.shown for point in (curve.points[0], curve.points[-1])]
        low, high = min(known), max(known)
        return [low * (high / low) ** (i / (count - 1)) for i in range(count)]

    def launches(self, curve: Curve) -> list[tuple[str, dict[str, str]]]:
        """(what the unit does, engine -> command) of the best layout's units; an engine that was asked for alone."""
        best = curve.best
        if best is None:
            return []
        memory = memory_of(best.engine, best.batch, self.lengths)
        tokens = longest(self.lengths, memory.context)
        own = "/" in self.request.model  # a folder, or a name on the Hub
        name = shlex.quote(self.request.model) if own else "$MODEL"
        experts = max(layer.experts for layer in best.engine.model.layers)

        def launched(unit: Unit, role: Role, batch: float) -> Launched:
            return Launched(name, unit, curve.chip, role, batch, tokens, experts)

        if best.prefill is None:
            units = [launched(best.engine.unit, "both", best.batch)]
        else:
            first = best.prefill.engine.unit
            units = [launched(first, "prefill", float(first.dp)), launched(best.engine.unit, "decode", best.batch)]
        wanted = [curve.engine] if curve.engine else ["vllm", "sglang", "trt"]
        return [
            (one.role, {engine: line for engine, line in launch_lines(one).items() if engine in wanted})
            for one in units
        ]

    def inputs(self) -> dict[str, Any]:
        """The request with every default that may change written out."""
        found = dataclasses.asdict(self.request)
        found["date"] = self.request.date or datetime.date.today().isoformat()
        return found

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan-frontier.md."""
        best = [curve.best.per_chip for curve in self.curves if curve.best]
        return {
            "model": self.request.model,
            "isl": self.lengths.isl,
            "osl": self.lengths.osl,
            "hit": self.lengths.hit,
            "ttft_s": self.request.ttft_s,
            "tpot_s": self.request.tpot_s,
            "best_per_chip": max(best, default=None),
            "curves": [self._curve(curve) for curve in self.curves],
            "measured": [point.to_json() for point in self.measured.points] if self.measured else [],
            "measured_left_out": self.measured.left_out if self.measured else {},
            "assumptions": list(self.assumptions),
            "sources": list(self.sources),
        }

    def _curve(self, curve: Curve) -> dict[str, Any]:
        memory = curve.memory(self.lengths)
        return {
            "name": curve.name,
            "chip": curve.chip.name,
            "engine": curve.engine,
            "precision": curve.precision,
            "price_per_gpu_hour": curve.price.per_device_hour if curve.price else None,
            "currency": curve.price.currency if curve.price else None,
            "price_date": curve.price.date if curve.price else None,
            "low": curve.low,
            "high": curve.high,
            "points": [
                {
                    **dataclasses.asdict(point),
                    **dict(zip(("low", "high"), curve.band(point.per_user, point.per_chip), strict=True)),
                    "per_dollar": curve.per_dollar(point.per_chip),
                }
                for point in curve.points
            ],
            "layouts": [_layout(curve, one, self.lengths) for one in curve.layouts[:SHOWN]],
            "memory_gib": memory.parts() if memory else None,
            "largest_context": memory.context if memory else None,
            "largest_concurrency": memory.concurrency if memory else None,
            "launch": [{"role": role, "commands": lines} for role, lines in self.launches(curve)],
            "why_not": str(curve.why_not),
        }


def _layout(curve: Curve, one: Tried, lengths: Lengths) -> dict[str, Any]:
    low, high = curve.span(one, lengths) if one.serves else (0.0, 0.0)
    return {
        "layout": one.layout,
        "chips": one.chips,
        "batch": one.batch,
        "tpot_s": one.tpot_s,
        "per_chip": one.per_chip,
        "low": low,
        "high": high,
        "per_dollar": curve.per_dollar(one.per_chip),
        "why": str(one.why or ""),
    }
