"""An hour of a machine split over what ran in it: whole device-nanoseconds and microjoules that add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.ledger.engines.spans import KINDS, EngineSpan, EngineWork, by_hours
from centime.ledger.engines.weights import WorkWeights
from centime.units import HOUR_NS

IDLE, UNFINISHED, UNSEEN = "idle", "unfinished", "unseen"


@dataclass
class HourPart:
    """A part of an hour: a model's work, with its time by kind (KINDS), or IDLE, UNFINISHED, UNSEEN."""

    name: str
    device_ns: int
    work: EngineWork = field(default_factory=EngineWork)
    kinds_ns: tuple[int, ...] = (0,) * len(KINDS)
    of_work: bool = False
    energy: EnergyUse = NO_ENERGY


@dataclass
class MeteredHour:
    """What was seen of one hour. device_ns is the sum of its parts'."""

    hour: int  # since the epoch, UTC
    start_ns: int
    end_ns: int
    device_ns: int
    parts: list[HourPart]

    @property
    def energy(self) -> EnergyUse:
        """Of all its parts."""
        return sum((part.energy for part in self.parts), NO_ENERGY)


def apportioned(total: int, shares: Sequence[int]) -> list[int]:
    """`total` in whole parts in proportion to `shares` (of at least 0, one above it), exact in sum: what rounding down
    leaves goes, one each, to the largest remainders, the first of equals first."""
    whole = sum(shares)
    parts = [total * share // whole for share in shares]
    order = sorted(range(len(shares)), key=lambda index: (-(total * shares[index] % whole), index))
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts


def energies(whole: EnergyUse, shares: Sequence[int]) -> list[EnergyUse]:
    """`whole` in proportion to `shares`, each of its figures exact in sum."""
    if not any(shares):
        return [whole, *[NO_ENERGY] * (len(shares) - 1)] if shares else []
    figures = [apportioned(figure, shares) for figure in astuple(whole)]
    return [EnergyUse(*each) for each in zip(*figures, strict=True)]


def split(spans: Sequence[EngineSpan], weights: WorkWeights, devices: int) -> list[MeteredHour]:
    """Every hour that the spans touch, the earliest first.

    An hour's busy time is split over all work that its counters tell of, since some engines count a request when it
    has ended: where an hour has busy time and tells of no work at all, that is unfinished.
    """
    hours: dict[int, list[EngineSpan]] = {}
    for span in spans:
        for piece in by_hours(span):
            hours.setdefault(piece.start_ns // HOUR_NS, []).append(piece)
    return [_split_hour(hour, hours[hour], weights, devices) for hour in sorted(hours)]


def _split_hour(hour: int, spans: list[EngineSpan], weights: WorkWeights, devices: int) -> MeteredHour:
    work: dict[str, EngineWork] = {}
    busy = idle = unseen = 0
    busy_energy = idle_energy = unseen_energy = NO_ENERGY
    for span in spans:
        length = span.end_ns - span.start_ns
        if span.unseen:
            unseen += length
            unseen_energy += span.energy
        else:
            worked = span.energy.part(span.busy_ns, length)
            busy += span.busy_ns
            idle += length - span.busy_ns
            busy_energy, idle_energy = busy_energy + worked, idle_energy + (span.energy - worked)
        for model, done in span.work.items():
            work.setdefault(model, EngineWork()).add(done)
    parts = _parts_of_work(busy * devices, work, weights)
    for part, energy in zip(parts, energies(busy_energy, [part.device_ns for part in parts]), strict=True):
        part.energy = energy
    if not parts:  # what rounding left, of no busy time at all
        idle_energy += busy_energy
    for name, time, energy in ((IDLE, idle, idle_energy), (UNSEEN, unseen, unseen_energy)):
        if time or energy.total_uj:
            parts.append(HourPart(name, time * devices, energy=energy))
    length = sum(span.end_ns - span.start_ns for span in spans)
    return MeteredHour(hour, spans[0].start_ns, spans[-1].end_ns, length * devices, parts)


def _parts_of_work(busy: int, work: dict[str, EngineWork], weights: WorkWeights) -> list[HourPart]:
    names = sorted(work)
    shares = [share for name in names for share in weights.parts(work[name])]
    if not any(shares):  # nothing that weighs anything: by tokens, or by nothing at all
        shares = [amount for name in names for amount in (*work[name].amounts()[:3], 0)]
    if not any(shares):
        return [HourPart(UNFINISHED, busy)] if busy else []
    times = apportioned(busy, shares)
    parts = []
    for index, name in enumerate(names):
        kinds = tuple(times[index * len(KINDS) : (index + 1) * len(KINDS)])
        parts.append(HourPart(name, sum(kinds), work[name], kinds, True))
    return parts
