"""The upstream's time, shared by the requests that are there, and how fast it answers.

What an upstream does inside, nobody outside can see; requests in flight at the same time are taken to use it equally.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from centime.serve.engine.shares import split

_ASSUMED_NS = 10**8  # a token, before any answer has ended: ten tokens a second, a small server's pace
_FADE = 0.9  # what an answer's weight becomes with each one after it


class UpstreamClock:
    """Runs from its making. Between two changes the time goes in equal parts to the requests in flight, or to idle."""

    def __init__(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._now, self._lock = now, threading.Lock()
        self._since = now()
        self._shares: dict[int, int] = {}  # of the requests in flight
        self._number = 0
        self._requests_ns = self._idle_ns = 0

    def enter(self) -> int:
        """A request goes to the upstream; returns the number that it leaves by."""
        with self._lock:
            self._share()
            self._number += 1
            self._shares[self._number] = 0
            return self._number

    def leave(self, number: int) -> int:
        """It is done; returns its nanoseconds."""
        with self._lock:
            self._share()
            return self._shares.pop(number)

    def totals(self) -> tuple[int, int]:
        """(nanoseconds given to requests, idle ones) until now; their sum is the time since the clock was made."""
        with self._lock:
            self._share()
            return self._requests_ns, self._idle_ns

    @property
    def running(self) -> int:
        """Requests in flight."""
        return len(self._shares)

    def _share(self) -> None:
        now = self._now()
        passed, self._since = now - self._since, now
        if not self._shares:
            self._idle_ns += passed
            return
        self._requests_ns += passed
        for number, part in zip(self._shares, split(passed, [1] * len(self._shares)), strict=True):
            self._shares[number] += part


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
