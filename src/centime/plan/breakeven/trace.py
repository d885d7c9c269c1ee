"""A trace of requests: when each came, how long it was; its hours, its peak, its mean lengths."""

from __future__ import annotations

import datetime
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from centime.catalogue.tariffs import PeakHours
from centime.units import SECONDS_PER_DAY

HOUR_S = 3600.0
PEAK_S = 600.0  # the stretch whose load a fleet has to hold: shorter ones wait in queues


@dataclass(frozen=True)
class TracedRequest:
    """When it came, in seconds (since the epoch where the trace says so), and its tokens."""

    at_s: float
    prompt: float
    answer: float
    cached: float = 0.0  # of the prompt


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their coming. dated: whether instants are of the calendar. faults: what was not read."""

    requests: tuple[TracedRequest, ...]
    dated: bool
    faults: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # the instant's, the prompt's, the answer's, the cached part's

    @cached_property
    def seconds(self) -> float:
        """From the first request to the last, and at least so long as the peak's stretch."""
        return max(PEAK_S, self.requests[-1].at_s - self.requests[0].at_s)

    @cached_property
    def tokens(self) -> float:
        """Prompts and answers."""
        return sum(one.prompt + one.answer for one in self.requests)

    @property
    def tokens_per_day(self) -> float:
        """At the trace's mean."""
        return self.tokens / self.seconds * SECONDS_PER_DAY

    @property
    def isl(self) -> float:
        """Mean prompt."""
        return sum(one.prompt for one in self.requests) / len(self.requests)

    @property
    def osl(self) -> float:
        """Mean answer."""
        return sum(one.answer for one in self.requests) / len(self.requests)

    @property
    def hit(self) -> float:
        """The share of prompt tokens found in a cache."""
        return sum(one.cached for one in self.requests) / sum(one.prompt for one in self.requests)

    @cached_property
    def stretches(self) -> tuple[float, ...]:
        """Requests a second of every ten minutes; the last stretch has what is left, from five minutes to fifteen."""
        start = self.requests[0].at_s
        counts = [0] * (int(self.seconds // PEAK_S) + 1)
        for one in self.requests:
            counts[min(int((one.at_s - start) // PEAK_S), len(counts) - 1)] += 1
        last = self.seconds - PEAK_S * (len(counts) - 1)
        if len(counts) > 1 and last < PEAK_S / 2:  # too short to be a rate of its own
            joined = counts.pop()
            counts[-1] += joined
            last += PEAK_S
        return (*(count / PEAK_S for count in counts[:-1]), counts[-1] / last)

    @property
    def peak_to_mean(self) -> float:
        """Requests in the busiest ten minutes over the mean of as long."""
        return max(1.0, max(self.stretches) / (len(self.requests) / self.seconds))

    @cached_property
    def hours(self) -> tuple[float, ...]:
        """Requests a second of the busiest ten minutes of every hour from the first request on."""
        each = int(HOUR_S // PEAK_S)
        return tuple(max(self.stretches[i : i + each]) for i in range(0, len(self.stretches), each))

    def peak_share(self, hours: PeakHours) -> float:
        """The share of tokens that came in an API's peak hours; needs instants of the calendar."""
        inside = sum(one.prompt + one.answer for one in self.requests if hours.contain(int(one.at_s) * 10**9))
        return inside / self.tokens

    def start(self) -> str:
        """The day and hour of the first request in UTC, '' where instants are of no calendar."""
        if not self.dated:
            return ""
        first = datetime.datetime.fromtimestamp(self.requests[0].at_s, datetime.UTC)
        return first.strftime("%Y-%m-%dT%H:%MZ")

    def busiest(self, most: int) -> Sequence[TracedRequest]:
        """The requests of the busiest hour, or of as much around its busiest ten minutes as holds `most` of them."""
        at = max(range(len(self.stretches)), key=self.stretches.__getitem__)
        start = self.requests[0].at_s + at * PEAK_S
        wide = HOUR_S / 2
        while True:
            low, high = start + PEAK_S / 2 - wide, start + PEAK_S / 2 + wide
            first = bisect_left(self.requests, low, key=lambda one: one.at_s)
            after = bisect_right(self.requests, high, key=lambda one: one.at_s)
            if after - first <= most or wide <= PEAK_S / 2:
                return self.requests[max(first, after - most) : after]
            wide /= 2
