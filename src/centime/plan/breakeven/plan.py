"""The plan of `plan breakeven`: a day's cost at any load on one's own fleet and at each API, and where they cross."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from centime.catalogue.chips import Chip
from centime.plan.breakeven.api import ApiCost
from centime.plan.breakeven.crossing import break_even, first_paying
from centime.plan.breakeven.fleet import FleetOption, OwnFleet
from centime.plan.breakeven.hour import Hour, combined
from centime.plan.breakeven.replay import Replayed
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.breakeven.trace import Trace
from centime.plan.serving.choice import Lengths
from centime.plan.serving.money import DAYS_PER_MONTH, MILLION
from centime.units import SECONDS_PER_DAY

SHARES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of what a fleet can serve, that are told


@dataclass(frozen=True)
class Crossing:
    """From how many tokens a day on the fleet costs no more than one API; None: not up to the most that was looked at.

    ends: the same with one input at its low and its high end, by its name.
    """

    api: ApiCost
    load: float | None
    first: float | None  # the least load at which it costs no more, if not at every larger one
    low: float | None
    high: float | None
    ends: dict[str, tuple[float | None, float | None]]
    least: float  # tokens of a request

    @property
    def verdict(self) -> str:
        """'never', 'always' or 'from'."""
        return _verdict(self.load, self.least)

    def to_json(self) -> dict[str, Any]:
        """Loads in tokens a day, prompts and answers together."""
        return {
            "api": self.api.name,
            "date": self.api.prices.date,
            "price_per_million": self.api.mid,
            "peak_share": self.api.peak_share,
            "verdict": self.verdict,
            "tokens_per_day": self.load,
            "first_tokens_per_day": self.first,
            "interval": {"low": self.low, "high": self.high, "confidence": 0.8},
            "ends": {name: list(pair) for name, pair in self.ends.items()},
        }


def _verdict(load: float | None, least: float) -> str:
    return "never" if load is None else "always" if load <= least else "from"


@dataclass(frozen=True)
class Inputs:
    """What the interval of an answer moves: factors on the fleet's speed and on its hour, and the API's price."""

    speed: float = 1.0
    hour: float = 1.0
    api: float = 1.0


@dataclass(frozen=True)
class BreakevenPlan:
    """A fleet of one's own, the APIs, and where they cross."""

    verb: ClassVar[str] = "breakeven"
    asked: BreakevenRequest
    request: BreakevenRequest  # with the trace's lengths, hits and peak where there is one
    chip: Chip
    lengths: Lengths
    fleet: OwnFleet
    hour: Hour
    apis: tuple[ApiCost, ...]
    speed: tuple[float, float]  # the 80 % interval of throughput, factors
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    trace: Trace | None = None
    replayed: Replayed | None = None

    @property
    def tokens(self) -> float:
        """Of a request, prompt and answer."""
        return self.lengths.isl + self.lengths.osl

    def rate(self, load: float) -> float:
        """Requests a second at the peak, of so many tokens a day."""
        return load / self.tokens / SECONDS_PER_DAY * self.request.load.peak_to_mean

    def gpus(self, load: float, speed: float = 1.0) -> int:
        """Of whole units that serve so many tokens a day."""
        return self.fleet.gpus_for(self.rate(load), speed)

    def option(self, load: float) -> FleetOption:
        """The layout that they are of."""
        return self.fleet.best(self.rate(load))

    def idle(self, load: float) -> float:
        """The share of the fleet's time in which it waits, on average."""
        busy = self.option(load).gpus_per_rate * self.rate(load) / self.request.load.peak_to_mean
        return max(0.0, 1 - busy / self.gpus(load))

    def cost(self, load: float, at: Inputs | None = None) -> float:
        """A day of the fleet, people included."""
        at = at or Inputs()
        hourly = self.hour.price.per_device_hour * at.hour
        return self.gpus(load, at.speed) * hourly * 24 + self.request.staff / DAYS_PER_MONTH

    def cost_range(self, load: float) -> tuple[float, float]:
        """The 80 % interval of a day's cost."""
        middle, price = self.cost(load), self.hour.price.per_device_hour
        ends = [
            (self.cost(load, Inputs(speed=self.speed[1])), self.cost(load, Inputs(speed=self.speed[0]))),
            (
                self.cost(load, Inputs(hour=self.hour.low / price)) if price else middle,
                self.cost(load, Inputs(hour=self.hour.high / price)) if price else middle,
            ),
        ]
        return combined(middle, ends) if middle else (0.0, 0.0)

    @cached_property
    def crossings(self) -> tuple[Crossing, ...]:
        """One an API."""
        return tuple(self._crossing(api) for api in self.apis)

    def _crossing(self, api: ApiCost) -> Crossing:
        def at(inputs: Inputs) -> float | None:
            price = api.mid * inputs.api / MILLION
            return break_even(lambda load: self.cost(load, inputs), price, self.tokens, self.request.most)

        middle = at(Inputs())
        first = first_paying(self.cost, api.mid / MILLION, self.tokens, self.request.most)
        hour, mid = self.hour.price.per_device_hour or 1.0, api.mid or 1.0
        ends = {
            "speed": (at(Inputs(speed=self.speed[1])), at(Inputs(speed=self.speed[0]))),
            "hour": (at(Inputs(hour=self.hour.low / hour)), at(Inputs(hour=self.hour.high / hour))),
            "api": (at(Inputs(api=api.high / mid)), at(Inputs(api=api.low / mid))),
        }
        return Crossing(api, middle, first, *_interval(middle, list(ends.values())), ends, self.tokens)

    def per_million(self, share: float) -> float:
        """A million tokens of a large fleet of which so much is used on average."""
        best = min(self.fleet.options, key=lambda one: one.gpus_per_rate)
        seconds = best.gpus_per_rate / self.tokens  # GPU-seconds a token
        return seconds / 3600 * self.hour.price.per_device_hour / share * MILLION

    def even_share(self, api: ApiCost) -> float | None:
        """The share of a large fleet's time in use at which it costs what the API does; None: not even all of it."""
        share = self.per_million(1.0) / api.mid if api.mid else 2.0
        return share if share <= 1 else None

    def _trace(self) -> dict[str, Any] | None:
        trace, found = self.trace, self.replayed
        if trace is None or found is None:
            return None
        return {
            "requests": len(trace.requests),
            "seconds": trace.seconds,
            "start": trace.start(),
            "tokens_per_day": trace.tokens_per_day,
            "peak_to_mean": trace.peak_to_mean,
            "columns": list(trace.columns),
            "faults": list(trace.faults),
            "layout": found.option.name,
            "gpus": found.gpus,
            "cost_per_day": self.day_of(found.gpus),
            "units": [
                {"role": kind.role, "gpus": kind.gpus, "units": kind.fixed, "ttft_s": dataclasses.asdict(kind.ttft)}
                | {"tpot_s": dataclasses.asdict(kind.tpot) if kind.role != "prefill" else None}
                for kind in found.kinds
            ],
            "hours": _hours(found),
            "autoscaling_saves": found.saved,
            "api_cost_per_day": {api.name: trace.tokens_per_day * api.mid / MILLION for api in self.apis},
        }

    def day_of(self, gpus: float) -> float:
        """What so many GPUs cost a day, people included."""
        return gpus * self.hour.price.per_device_hour * 24 + self.request.staff / DAYS_PER_MONTH

    def inputs(self) -> dict[str, Any]:
        """The request with every default that may change written out."""
        found = dataclasses.asdict(self.asked)
        found["date"] = self.asked.date or datetime.date.today().isoformat()
        return found

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan-breakeven.md."""
        first = self.crossings[0]
        at = first.load or self.request.most
        return {
            "model": self.request.model,
            "gpu": self.chip.name,
            "isl": self.lengths.isl,
            "osl": self.lengths.osl,
            "hit": self.lengths.hit,
            "verdict": first.verdict,
            "tokens_per_day": first.load,
            "requests_per_day": first.load / self.tokens if first.load else None,
            "interval": {"low": first.low, "high": first.high, "confidence": 0.8},
            "gpus": self.gpus(at),
            "layout": self.option(at).name,
            "idle": self.idle(at),
            "cost_per_day": self.cost(at),
            "gpu_hour": self.hour.price.per_device_hour,
            "gpu_hour_low": self.hour.low,
            "gpu_hour_high": self.hour.high,
            "currency": self.hour.price.currency,
            "price_date": self.hour.price.date,
            "bought": self.request.bought,
            "staff_per_month": self.request.staff,
            "peak_to_mean": self.request.load.peak_to_mean,
            "most_tokens_per_day": self.request.most,
            "crossings": [crossing.to_json() for crossing in self.crossings],
            "by_use": [{"used": share, "own_per_million": self.per_million(share)} for share in SHARES],
            "even_share": {api.name: self.even_share(api) for api in self.apis},
            "layouts": [
                {"layout": o.name, "kinds": [dataclasses.asdict(k) for k in o.kinds]} for o in self.fleet.options
            ],
            "trace": self._trace(),
            "assumptions": list(self.assumptions),
            "sources": list(self.sources),
        }


def _hours(replayed: Replayed) -> list[dict[str, Any]]:
    return [
        {"hour": hour, "gpus": gpus, "units": [kind.by_hour[hour] for kind in replayed.kinds]}
        for hour, gpus in enumerate(replayed.gpus_by_hour)
    ]


def _interval(middle: float | None, ends: list[tuple[float | None, float | None]]) -> tuple[float | None, float | None]:
    """Low and high of the crossing from what each input alone makes of it; None where it never pays at that end."""

    def end(side: int) -> float | None:
        known = [pair[side] for pair in ends]
        if middle is None:
            return min((load for load in known if load is not None), default=None) if side == 0 else None
        if None in known:
            return None
        pairs = [(min(load, middle), max(load, middle)) for load in known if load is not None]
        return combined(middle, pairs)[side]

    return end(0), end(1)
