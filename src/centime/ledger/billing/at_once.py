"""How many devices were in use at once: by the monotonic clock, which nobody sets, wherever one clock is enough.

A device that several verbs use at the same time is one device. Which it was is told by its id (device.py); rows of
older books have none, and each process of those counts for itself, but for a CPU's verbs that never run in ranks.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from centime.ledger.interval import Interval

_IN_RANKS = {"train", "tune"}  # what torchrun may have started: a CPU's ranks have a share of it each


@dataclass(frozen=True)
class MeasuredSpan:
    """Measured time on some devices: monotonic nanoseconds of one boot, and the wall clock at its start."""

    host: str
    boot: str
    start_ns: int
    end_ns: int
    wall_start_ns: int
    devices: int
    kind: str  # cpu, gpu
    ids: frozenset[str]  # of its devices, no two alike in the world; empty: unknown


def span_of(interval: Interval) -> MeasuredSpan:
    """The interval's measured time."""
    start, end = interval.mono_start_ns, interval.mono_start_ns + interval.measured_ns
    ids = interval.device_ids.split()
    if interval.device_kind == "cpu":
        if not ids and interval.verb not in _IN_RANKS:
            ids = ["cpu"]
        ids = [f"{interval.host} {one}" for one in ids]
    return MeasuredSpan(
        interval.host,
        interval.boot,
        start,
        end,
        interval.wall_start_ns,
        interval.devices,
        interval.device_kind,
        frozenset(ids),
    )


@dataclass
class _InUse:
    """What one boot of a machine has in use at a moment."""

    known: dict[str, Counter[str]] = field(default_factory=lambda: {"cpu": Counter(), "gpu": Counter()})  # by id
    unknown: Counter[str] = field(default_factory=Counter)  # devices by kind

    def change(self, span: MeasuredSpan, by: int) -> None:
        if span.ids:
            of = self.known.setdefault(span.kind, Counter())
            of.update(dict.fromkeys(span.ids, by))
        else:
            self.unknown[span.kind] += by * span.devices

    def devices(self) -> int:
        """GPUs of unknown id are others than the known ones; a CPU's unknown ranks are parts of the same machine."""
        count = {kind: sum(users > 0 for users in of.values()) for kind, of in self.known.items()}
        cpus = max(count.pop("cpu", 0), self.unknown["cpu"])
        return cpus + sum(count.values()) + sum(n for kind, n in self.unknown.items() if kind != "cpu")


def most_at_once(spans: Sequence[MeasuredSpan]) -> int:
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
    in_use = {boot: _InUse() for boot in hosts}
    used = {host: dict.fromkeys((boot for boot in hosts if hosts[boot] == host), 0) for host in hosts.values()}
    most = max((span.devices for span in spans), default=0)  # however short it was
    total = 0
    for _, by, span in sorted(_changes(spans, offsets), key=lambda change: change[:2]):  # first those that end
        here = used[hosts[span.boot]]
        total -= max(here.values())
        in_use[span.boot].change(span, by)
        here[span.boot] = in_use[span.boot].devices()
        total += max(here.values())
        most = max(most, total)
    return most


def _changes(spans: Iterable[MeasuredSpan], offsets: dict[str, int]) -> Iterable[tuple[int, int, MeasuredSpan]]:
    for span in spans:
        if span.end_ns > span.start_ns:
            yield span.start_ns + offsets[span.boot], 1, span
            yield span.end_ns + offsets[span.boot], -1, span
