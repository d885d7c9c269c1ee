"""What an engine did between two readings: how long it was busy, and what work its counters tell of.

Where an engine has no clock of its own (vLLM, llama-server), it was busy for the whole of a span at one of whose ends a
request ran, or in which a counter moved; and no longer than its finished requests were worked on, where all of them
came and went between the two readings. So the resolution is the time between readings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.ledger.engines.dialects import EngineCounters, EngineReading
from centime.units import HOUR_NS

KINDS = ("computed", "cached", "decoded", "context")  # of work, in the order of the weights
GAP = 3  # spans this many times longer than they should be: readings were missed


@dataclass
class EngineWork:
    """What a model did. context: tokens of context read, added up over decoded tokens."""

    computed: int = 0
    cached: int = 0
    decoded: int = 0
    context: int = 0
    requests: int = 0

    def add(self, other: EngineWork) -> None:
        """Sum in."""
        for name in (*KINDS, "requests"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def amounts(self) -> tuple[int, ...]:
        """By KINDS."""
        return tuple(getattr(self, kind) for kind in KINDS)

    def __bool__(self) -> bool:
        return any(self.amounts()) or self.requests > 0


@dataclass(frozen=True)
class EngineSpan:
    """From one reading to the next, nanoseconds since the epoch. unseen: nobody can say what it did."""

    start_ns: int
    end_ns: int
    busy_ns: int
    work: dict[str, EngineWork] = field(default_factory=dict)  # by model
    unseen: str = ""  # why: 'restarted', 'silent'
    energy: EnergyUse = NO_ENERGY  # of the machine, busy or not


def span_between(before: EngineReading, after: EngineReading) -> EngineSpan:
    """What was done between two readings of one engine.

    Of a server that began anew in between, what it has done since counts as work, and the time as unseen.
    """
    length, energy = after.moment_ns - before.moment_ns, after.energy - before.energy
    if began_anew(before, after):
        work = _work({}, after.models, 0)
        return EngineSpan(before.moment_ns, after.moment_ns, 0, work, "restarted", energy)
    work = _work(before.models, after.models, _context(before, after))
    ends = (before.running > 0) + (after.running > 0)
    if before.busy_s is not None and after.busy_s is not None:
        busy = int((after.busy_s - before.busy_s) * 10**9)
    elif ends or work:
        busy = length
        if not ends and before.spent_s is not None and after.spent_s is not None:
            spent = int((after.spent_s - before.spent_s) * 10**9)
            busy = spent or length
    else:
        busy = 0
    return EngineSpan(before.moment_ns, after.moment_ns, max(0, min(length, busy)), work, energy=energy)


def began_anew(before: EngineReading, after: EngineReading) -> bool:
    """Whether the server's counters started again: another start is shown, or one of them is smaller."""
    if before.started is not None and after.started is not None and before.started != after.started:
        return True
    if before.busy_s is not None and after.busy_s is not None and after.busy_s < before.busy_s:
        return True
    names = ("computed", "cached", "decoded", "requests")
    return any(
        getattr(after.models.get(model, EngineCounters()), name) < getattr(counts, name)
        for model, counts in before.models.items()
        for name in names
        if name != "computed"  # prompt less cached: two counters that a page may show at two moments
    )


def _work(before: dict[str, EngineCounters], after: dict[str, EngineCounters], context: int) -> dict[str, EngineWork]:
    made = {}
    for model, counts in after.items():
        old = before.get(model, EngineCounters())
        decoded = counts.decoded - old.decoded
        work = EngineWork(
            max(0, counts.computed - old.computed),
            counts.cached - old.cached,
            decoded,
            context * decoded,
            counts.requests - old.requests,
        )
        if work:
            made[model] = work
    return made


def _context(before: EngineReading, after: EngineReading) -> int:
    """Tokens that a running request held, the mean of both ends; 0 where nothing ran or nobody says."""
    ends = [int(end.held / end.running) for end in (before, after) if end.held is not None and end.running]
    return sum(ends) // len(ends) if ends else 0


def by_hours(span: EngineSpan) -> list[EngineSpan]:
    """The span cut where hours begin; its work is in the last piece, its busy time and joules in proportion, exact in
    sum."""
    pieces = []
    start, left, busy_left = span.start_ns, span.end_ns - span.start_ns, span.busy_ns
    energy_left = span.energy
    while start < span.end_ns:
        end = min(span.end_ns, (start // HOUR_NS + 1) * HOUR_NS)
        last = end == span.end_ns
        busy = busy_left if last else busy_left * (end - start) // left
        energy = energy_left if last else energy_left.part(end - start, left)
        pieces.append(EngineSpan(start, end, busy, span.work if last else {}, span.unseen, energy))
        start, left, busy_left = end, left - (end - start), busy_left - busy
        energy_left -= energy
    return pieces
