"""A trace on one's own fleet: the fewest chips that keep the limits, replicas by hour, what following the load saves.

Requests are dealt to the units in turn, so that one unit has every k-th request. It is run with those of the busiest
hour (plan/serving/arrivals.py); the fewest units are those with which 99 of 100 first tokens come within the limit and
the median token does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from centime.errors import UserError
from centime.plan.breakeven.fleet import FleetOption, FleetUnit, OwnFleet
from centime.plan.breakeven.trace import Trace
from centime.plan.serving.arrivals import Arrival, Latency, Role, Simulated, replay
from centime.plan.serving.choice import Lengths, Mixed
from centime.plan.serving.engine import EngineModel
from centime.plan.serving.trial import chunk_of

MOST_REPLAYED = 3000  # requests that one unit is run with
FEW, STEP = 10, 1.1  # from so many units on they are tried a tenth more at a time
Limits = tuple[float, float]  # seconds to the first token (99 of 100), seconds a token (median)


@dataclass(frozen=True)
class Replicas:
    """Units of one kind of the fleet: how many the trace's busiest hour takes, and how many each hour does."""

    role: Role
    gpus: int  # of a unit
    fixed: int
    by_hour: tuple[int, ...]
    ttft: Latency
    tpot: Latency


@dataclass(frozen=True)
class Replayed:
    """The layout that takes the fewest chips for the trace."""

    option: FleetOption
    kinds: tuple[Replicas, ...]

    @property
    def gpus(self) -> int:
        """Of the fleet that holds the busiest hour."""
        return sum(kind.fixed * kind.gpus for kind in self.kinds)

    @property
    def gpus_by_hour(self) -> list[int]:
        """Of a fleet that follows the load, hour by hour."""
        return [
            sum(units) for units in zip(*([n * kind.gpus for n in kind.by_hour] for kind in self.kinds), strict=True)
        ]

    @property
    def saved(self) -> float:
        """The share of GPU-hours that following the load saves."""
        hours = self.gpus_by_hour
        return 1 - sum(hours) / (self.gpus * len(hours))


def replayed(fleet: OwnFleet, trace: Trace, lengths: Lengths, limits: Limits) -> Replayed:
    """The layout of the fleet with the fewest chips for the trace; of equal ones the first."""
    tried = (Replayed(option, tuple(_replicas(option, trace, lengths, limits))) for option in fleet.options)
    return min(tried, key=lambda one: (one.gpus, sum(one.gpus_by_hour)))


def _replicas(option: FleetOption, trace: Trace, lengths: Lengths, limits: Limits) -> list[Replicas]:
    found = []
    for kind, part in zip(option.kinds, _parts(option), strict=True):
        fixed, seen = _fewest(part, kind, trace, lengths, limits)
        held = max(trace.stretches) / fixed  # requests a second that a unit was seen to hold
        by_hour = tuple(min(fixed, max(1, math.ceil(rate / held - 1e-9))) for rate in trace.hours)
        found.append(Replicas(part.role, kind.gpus, fixed, by_hour, seen.ttft, seen.tpot))
    return found


@dataclass(frozen=True)
class _Part:
    """What a kind of unit does: prompt tokens of a group's chunk, and the most sequences in flight."""

    role: Role
    engine: EngineModel
    chunk: float
    batch: float | None

    def run(self, units: int, trace: Trace, lengths: Lengths) -> Simulated:
        """One of so many units in the busiest hour, with its share of the requests."""
        dealt = trace.busiest(MOST_REPLAYED * units)[::units]
        start = dealt[0].at_s
        arrivals = [Arrival(one.at_s - start, max(1.0, one.prompt - one.cached), one.answer) for one in dealt]
        return replay(self.engine, arrivals, lengths, self.role, self.chunk, self.batch)

    def keeps(self, seen: Simulated, limits: Limits) -> bool:
        """Whether the limits that this role decides are kept; a place to decode is waited for no longer either."""
        ttft_s, tpot_s = limits
        return seen.ttft.p99 <= ttft_s and (self.role == "prefill" or seen.tpot.p50 <= tpot_s)


def _parts(option: FleetOption) -> list[_Part]:
    choice = option.choice
    if isinstance(choice, Mixed):
        return [_Part("mixed", choice.engine, chunk_of(choice.engine), choice.state.batch)]
    first, then = choice.prefill, choice.decode
    return [
        _Part("prefill", first.engine, first.tokens_per_step, None),
        _Part("decode", then.engine, 0.0, then.state.batch),
    ]


def _fewest(part: _Part, kind: FleetUnit, trace: Trace, lengths: Lengths, limits: Limits) -> tuple[int, Simulated]:
    """The fewest units that keep the limits, looked for from as many as random arrivals of the peak would take."""
    units = max(1, math.ceil(max(trace.stretches) / kind.rate - 1e-9))
    seen = part.run(units, trace, lengths)
    if part.keeps(seen, limits):
        while units > 1:
            fewer = part.run(units - 1, trace, lengths)
            if not part.keeps(fewer, limits):
                break
            units, seen = units - 1, fewer
        return units, seen
    while not part.keeps(seen, limits):
        if units >= len(trace.requests):
            raise UserError(
                f"--trace: one request alone misses the limits on {part.engine.unit.text()}: first token "
                f"{seen.ttft.p99:.3g} s, a token {1e3 * seen.tpot.p50:.3g} ms; raise --ttft or --tpot."
            )
        units = min(len(trace.requests), math.ceil(units * STEP) if units > FEW else units + 1)
        seen = part.run(units, trace, lengths)
    return units, seen
