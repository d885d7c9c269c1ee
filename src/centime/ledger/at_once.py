"""How many devices were in use at once: by the monotonic clock, which nobody sets, wherever one clock is enough."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from centime.ledger.interval import Interval


@dataclass(frozen=True)
class Span:
    """Measured time on some devices: monotonic nanoseconds of one boot, and the wall clock at its start."""

    host: str
    boot: str
    start_ns: int
    end_ns: int
    wall_start_ns: int
    devices: int


def span_of(interval: Interval) -> Span:
    """The interval's measured time."""
    start, end = interval.mono_start_ns, interval.mono_start_ns + interval.measured_ns
    return Span(interval.host, interval.boot, start, end, interval.wall_start_ns, interval.devices)


def most_at_once(spans: Sequence[Span]) -> int:
    """The most devices in use at one moment; 0 without spans.

    Spans of one boot are told apart by its monotonic clock alone. Two boots of a host never ran at once. Between hosts
    the wall clock is all there is; each boot has one difference to it, the middle one of those that its spans saw.
    """
    differences: dict[str, list[int]] = {}
    hosts: dict[str, str] = {}  # of a boot; a machine's containers have hosts of their own, and one boot
    for span in spans:
        differences.setdefault(span.boot, []).append(span.wall_start_ns - span.start_ns)
        hosts.setdefault(span.boot, span.host)
    offsets = {boot: int(statistics.median_low(seen)) for boot, seen in differences.items()}
    in_use = {host: dict.fromkeys((boot for boot in hosts if hosts[boot] == host), 0) for host in hosts.values()}
    most = max((span.devices for span in spans), default=0)  # however short it was
    total = 0
    for _, change, boot in sorted(_changes(spans, offsets)):  # at one moment those that end first
        here = in_use[hosts[boot]]
        total -= max(here.values())
        here[boot] += change
        total += max(here.values())
        most = max(most, total)
    return most


def _changes(spans: Iterable[Span], offsets: dict[str, int]) -> Iterable[tuple[int, int, str]]:
    for span in spans:
        if span.end_ns > span.start_ns:
            yield span.start_ns + offsets[span.boot], span.devices, span.boot
            yield span.end_ns + offsets[span.boot], -span.devices, span.boot
