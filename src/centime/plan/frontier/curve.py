"""One curve: the most output tokens a second and chip at every speed for a user, over all layouts and batches.

A point is a layout with so many sequences in flight, in its steady state, nobody waiting: what a benchmark with as many
clients sees. Where prefill has units of its own, their chips count: an answer takes osl / d chip-seconds
of a decode unit and isl / p of the best prefill unit.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from centime.plan.serving.choice import Lengths, Prefill
from centime.plan.serving.engine import EngineModel, decoding, steady
from centime.plan.serving.units import Unit

FINEST = 2**0.5  # between neighbouring batches, down from the most that memory holds
LEAST = 1.0  # sequences of a unit


@dataclass(frozen=True)
class SpeedPoint:
    """A layout at a batch: tokens/s of a user, output tokens/s of a chip, those that prefill counted."""

    layout: str
    chips: int
    batch: float
    per_user: float
    per_chip: float


def points(engine: EngineModel, units: Iterable[Unit], lengths: Lengths, prefill: Prefill | None) -> list[SpeedPoint]:
    """Every layout at every batch. prefill: the unit that prefills for those that only decode; None: none does."""
    found: list[SpeedPoint] = []
    for unit in units:
        tried = replace(engine, unit=unit)
        most = tried.room(lengths.isl + lengths.osl / 2)
        for batch in batches(most):
            both = steady(tried, batch, lengths.isl, lengths.osl, lengths.hit)
            rate = both.tokens_per_s / unit.chips
            found.append(SpeedPoint(unit.text(), unit.chips, batch, 1 / both.tpot_s, rate))
            if prefill is not None:
                alone = decoding(tried, batch, lengths.isl, lengths.osl)
                rate = with_prefill(alone.tokens_per_s / unit.chips, lengths, prefill)
                name = f"{prefill.engine.unit.text()} + {unit.text()}"
                chips = unit.chips + prefill.engine.unit.chips
                found.append(SpeedPoint(name, chips, batch, 1 / alone.tpot_s, rate))
    return found


def with_prefill(decode: float, lengths: Lengths, prefill: Prefill) -> float:
    """Output tokens a second of a chip, where `decode` is that of a decoding one, chips that prefill counted."""
    return 1 / (1 / decode + lengths.isl / lengths.osl / prefill.tokens_per_s_per_gpu)


def batches(most: float) -> Iterable[float]:
    """From the most that memory holds down to a single sequence."""
    if most < LEAST:
        return
    batch = most
    while batch > LEAST:
        yield batch
        batch /= FINEST
    yield LEAST


def frontier(found: Iterable[SpeedPoint]) -> list[SpeedPoint]:
    """The points that no other beats in both speed for a user and tokens of a chip, slowest for a user first."""
    kept: list[SpeedPoint] = []
    for point in sorted(found, key=lambda one: (-one.per_user, -one.per_chip)):
        if not kept or point.per_chip > kept[-1].per_chip:
            kept.append(point)
    return kept[::-1]


def between(curve: list[SpeedPoint], per_user: float) -> float | None:
    """Tokens of a chip at a speed for a user, on the line between neighbouring points in logarithms, since batches lie
    between those that were tried; None beyond the curve's ends."""
    at = bisect.bisect_left(curve, per_user, key=lambda one: one.per_user)
    if at == len(curve) or per_user < curve[0].per_user:
        return None
    there = curve[at]
    if at == 0 or there.per_user == per_user:
        return there.per_chip
    before = curve[at - 1]
    share = math.log(per_user / before.per_user) / math.log(there.per_user / before.per_user)
    return before.per_chip * math.exp(share * math.log(there.per_chip / before.per_chip))


def at_speed(curve: list[SpeedPoint], per_user: float) -> SpeedPoint | None:
    """The point with the most tokens of a chip that gives a user so many a second; None where none does."""
    return next(itertools.dropwhile(lambda one: one.per_user < per_user, curve), None)
