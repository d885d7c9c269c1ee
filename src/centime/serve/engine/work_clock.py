"""Whose the engine's time and energy was: each step's shared by the requests in it, the rest idle, to the last unit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from centime.ledger.energy import NO_ENERGY, EnergyCounter, EnergyUse
from centime.ledger.served import EngineTotals
from centime.serve.engine.generation import Generation
from centime.serve.engine.scheduler import ScheduledWork
from centime.serve.engine.shares import split
from centime.serve.engine.stats import EngineClock

READ_EVERY_NS = 250_000_000  # at most between two readings of the energy counter while steps follow each other


class WorkClock:
    """The wall-clock since `start`, shared out step by step, and the joules of the device with it.

    token_work, read_work: FLOPs of a token, and of its reading one token before it: a step's time goes to the requests
    in it by the work they caused. counter: of the device, None where nobody asks for its energy. The counter is read
    when an answer ends and every quarter of a second; what it counted in between goes to the requests by their time of
    that while. Its owner's thread shares; `totals` may be asked from any.
    """

    def __init__(self, token_work: int, read_work: int, counter: EnergyCounter | None = None) -> None:
        self._token_work, self._read_work, self._counter = token_work, read_work, counter
        self._lock = threading.Lock()  # of the energy
        self.start()

    def start(self) -> None:
        """Begins anew, now."""
        now = time.monotonic_ns()
        self._clock = EngineClock(now)
        self._read_ns, self._read_uj = now, self._counter.microjoules(now) if self._counter else 0
        self._pending: dict[Generation, int] = {}  # nanoseconds since the counter was read
        self._busy, self._idle = NO_ENERGY, NO_ENERGY

    def measure(self, counter: EnergyCounter) -> None:
        """Shares the joules of this counter from now on."""
        self._counter = counter
        self.start()

    def share(self, work: Sequence[ScheduledWork]) -> None:
        """All wall-clock since the last call: among those in the step by the work they caused, or idle."""
        now, clock = time.monotonic_ns(), self._clock
        passed = now - clock.until_ns
        if not work:
            self._clock = EngineClock(now, clock.busy_ns, clock.idle_ns + passed)
            self.settle(now)
            return
        self._clock = EngineClock(now, clock.busy_ns + passed, clock.idle_ns)
        weights = []
        for item in work:
            span = item.span
            reads = (span.start + 1 + span.end) * span.count // 2  # each token reads every entry up to its own
            weights.append(span.count * self._token_work + reads * self._read_work)
        with self._lock:
            for item, part in zip(work, split(passed, weights), strict=True):
                item.generation.machine_ns += part
                self._pending[item.generation] = self._pending.get(item.generation, 0) + part
        if now - self._read_ns >= READ_EVERY_NS:
            self.settle(now)

    def settle(self, now: int | None = None) -> None:
        """Reads the counter: what it counted since the last time goes to the requests that worked since then, and to
        idleness, as the time did."""
        with self._lock:
            now = max(self._read_ns, time.monotonic_ns() if now is None else now)
            pending, self._pending = self._pending, {}
            if self._counter is None:
                return
            reading = self._counter.microjoules(now)
            passed_uj, self._read_uj = reading - self._read_uj, reading
            idle_ns = max(0, now - self._read_ns - sum(pending.values()))
            self._read_ns = now
            times = [*pending.values(), idle_ns]
            shares = split(passed_uj, times if any(times) else [0] * len(pending) + [1])
            uses = [EnergyUse.of(self._counter.source, uj, ns) for uj, ns in zip(shares, times, strict=True)]
            for generation, use in zip(pending, uses, strict=False):
                generation.energy += use
                self._busy += use
            self._idle += uses[-1]

    def totals(self, idling: bool) -> EngineTotals:
        """Since the start, until the last step; until now where nothing is in progress (`idling`)."""
        if idling:
            self.settle()
        clock = self._clock
        idle_ns = clock.idle_ns + (time.monotonic_ns() - clock.until_ns if idling else 0)
        return EngineTotals(clock.busy_ns, idle_ns, self._busy, self._idle)
