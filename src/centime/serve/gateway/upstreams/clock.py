"""The upstream's time, shared by the requests that are there, and how fast it answers.

What an upstream does inside, nobody outside can see; requests in flight at the same time are taken to use it equally,
its time and its joules.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from centime.ledger.energy import NO_ENERGY, EnergyCounter, EnergyUse
from centime.ledger.served import EngineTotals
from centime.serve.engine.shares import split

_ASSUMED_NS = 10**8  # a token, before any answer has ended: ten tokens a second, a small server's pace
_FADE = 0.9  # what an answer's weight becomes with each one after it


@dataclass
class ClockShare:
    """A request's part: nanoseconds of the server, joules of all its devices."""

    ns: int = 0
    energy: EnergyUse = NO_ENERGY


class UpstreamClock:
    """Runs from its making. Between two changes the time goes in equal parts to the requests in flight, or to idle.

    counter, devices: of the server's energy, None where nobody knows, and of how many devices that is.
    """

    def __init__(
        self, now: Callable[[], int] = time.monotonic_ns, counter: EnergyCounter | None = None, devices: int = 1
    ) -> None:
        self._now, self._lock, self._counter, self._devices = now, threading.Lock(), counter, devices
        self._since = now()
        self._uj = counter.microjoules(self._since) if counter else 0
        self._shares: dict[int, ClockShare] = {}  # of the requests in flight
        self._number = 0
        self._requests, self._idle = ClockShare(), ClockShare()

    def enter(self) -> int:
        """A request goes to the upstream; returns the number that it leaves by."""
        with self._lock:
            self._share()
            self._number += 1
            self._shares[self._number] = ClockShare()
            return self._number

    def leave(self, number: int) -> ClockShare:
        """It is done; returns its part."""
        with self._lock:
            self._share()
            return self._shares.pop(number)

    def totals(self) -> EngineTotals:
        """What was given to requests and what was idle until now; their sum is the time since the clock was made."""
        with self._lock:
            self._share()
            return EngineTotals(self._requests.ns, self._idle.ns, self._requests.energy, self._idle.energy)

    @property
    def running(self) -> int:
        """Requests in flight."""
        return len(self._shares)

    def _share(self) -> None:
        now = self._now()
        passed, self._since = now - self._since, now
        passed_uj = 0
        if self._counter is not None:
            reading = self._counter.microjoules(now)
            passed_uj, self._uj = reading - self._uj, reading
        if not self._shares:
            self._add(self._idle, passed, passed_uj)
            return
        self._add(self._requests, passed, passed_uj)
        equal = [1] * len(self._shares)
        for share, ns, uj in zip(self._shares.values(), split(passed, equal), split(passed_uj, equal), strict=True):
            self._add(share, ns, uj)

    def _add(self, to: ClockShare, ns: int, uj: int) -> None:
        to.ns += ns
        if self._counter is not None:
            to.energy += EnergyUse.of(self._counter.source, uj, ns * self._devices)


class Pace:
    """Nanoseconds from an answer's beginning to its end, for each of its tokens: of the latest answers the most."""

    def __init__(self) -> None:
        self._ns = self._tokens = 0.0

    def ended(self, total_ns: int, tokens: float) -> None:
        """An answer of so many tokens ended. tokens: of each of its choices, which are made side by side."""
        if tokens > 0:
            self._ns = self._ns * _FADE + total_ns
            self._tokens = self._tokens * _FADE + tokens

    def tokens_in(self, total_ns: int) -> int:
        """How many tokens an answer has after so long, to a whole one."""
        each = self._ns / self._tokens if self._tokens else _ASSUMED_NS
        return int(total_ns / max(1.0, each))
