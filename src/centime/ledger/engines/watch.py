"""One engine, read again and again: spans between readings, hours closed as they end, and what stayed unseen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from centime.addresses import shown_address
from centime.errors import UserError
from centime.ledger.energy import NO_ENERGY, EnergyCounter, EnergyUse
from centime.ledger.engines.dialects import EngineReading, read_engine
from centime.ledger.engines.model_name import model_behind
from centime.ledger.engines.spans import GAP, EngineSpan, began_anew, by_hours, span_between
from centime.ledger.engines.split import MeteredHour, split
from centime.ledger.engines.weights import WindowsSeen, WorkWeights
from centime.ledger.imports.read import fetch_page
from centime.ledger.imports.samples import UNNAMED
from centime.units import HOUR_NS, plural

_SECOND_NS = 10**9


def page_of(engine: str) -> str:
    """The address of an engine's metrics: http://host:8000 -> http://host:8000/metrics.

    Raises UserError for what is no address.
    """
    parts = urlsplit(engine)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"--engine {shown_address(engine)!r} is no address; give one such as http://localhost:8000.")
    return urlunsplit(parts._replace(path="/metrics")) if parts.path in ("", "/") else engine


class EngineWatch:
    """What readings of one engine come to. devices: how many the engine runs on; every_ns: between two readings.

    Hours that are over are split once, by the weights of that moment, and stay as they are.
    """

    def __init__(self, origin: str, devices: int, every_ns: int) -> None:
        self.origin, self._devices, self.every_ns = origin, devices, every_ns
        self.last: EngineReading | None = None
        self.meter: EngineEnergy | None = None  # of its joules, where somebody asks
        self._spans: list[EngineSpan] = []  # of the hour of the last reading
        self._closed: list[MeteredHour] = []
        self._booked = 0  # of those, in a ledger for good
        self._windows = WindowsSeen()
        self.restarts = 0
        self.missed = 0  # readings that failed

    @property
    def weights(self) -> WorkWeights:
        """Those of all windows so far."""
        return self._windows.weights()

    def take(self, reading: EngineReading) -> None:
        """Adds what was done since the last reading."""
        before, self.last = self.last, reading
        if before is None or reading.moment_ns <= before.moment_ns:
            return
        span = span_between(before, reading)
        self.restarts += began_anew(before, reading)
        silent = reading.moment_ns - before.moment_ns > GAP * self.every_ns and reading.busy_s is None
        if silent and not span.unseen:
            span = EngineSpan(span.start_ns, span.end_ns, 0, span.work, "silent", span.energy)
        self._windows.add(span)
        self._spans.append(span)
        hour = reading.moment_ns // HOUR_NS
        if before.moment_ns // HOUR_NS != hour:
            self._closed += [over for over in self.hours_now() if over.hour < hour]
            self._spans = [piece for piece in by_hours(span) if piece.start_ns // HOUR_NS == hour]

    def hours(self) -> list[MeteredHour]:
        """Every hour so far, the one that runs now with them."""
        return [*self._closed, *self.hours_now()]

    def unbooked(self) -> list[MeteredHour]:
        """Hours that a ledger has not had since they last changed."""
        return [*self._closed[self._booked :], *self.hours_now()]

    def booked(self) -> None:
        """Says that a ledger has all that `unbooked` gave."""
        self._booked = len(self._closed)

    def hours_now(self) -> list[MeteredHour]:
        """The hour of the last reading, and any that it just ended."""
        return split(self._spans, self.weights, self._devices)

    def notes(self) -> list[str]:
        """What a person should know before they rely on the figures, a sentence each without its full stop."""
        weights, found = self.weights, []
        if weights.assumed:
            found.append(
                "the weights of kinds of work are assumed (DeepSeek's Day 6: an output token takes 2.2 computed "
                "prompt tokens, a cached one nothing): too few windows of 15 s so far in which it worked"
            )
        if self.last is not None and self.last.lacking:
            found.append(f"the page shows no counters of {', '.join(self.last.lacking)}: counted as 0")
        if self.last is not None and self.last.busy_s is None:
            found.append(
                "the engine has no clock of being busy: it was, for whole spans between readings in which a request "
                "ran or a counter moved"
            )
        if self.restarts:
            found.append(f"the engine began anew {plural(self.restarts, 'time')}: unseen from the reading before")
        if self.meter is not None and self.meter.note:
            found.append(self.meter.note)
        if self.missed:
            found.append(f"{plural(self.missed, 'reading')} failed")
        return found


def readings(watch: EngineWatch, seconds: float | None, stop: Callable[[float], bool]) -> Iterator[EngineReading]:
    """Reads the engine and gives each reading to `watch`, at its pace, for so long (None: for ever).

    stop: waits for so many seconds, and says whether to end before them. The moments
    are those of the monotonic clock, begun at the wall clock's: setting that moves nothing. The first reading raises
    UserError where it fails, later ones are counted as missed.
    """
    wall_ns, begun_ns = time.time_ns(), time.monotonic_ns()
    end_ns = None if seconds is None else begun_ns + int(seconds * _SECOND_NS)
    turn, named = 0, ""
    while True:
        asked_ns = time.monotonic_ns()
        try:
            text, _ = fetch_page(watch.origin)
            reading = read_engine(text, shown_address(watch.origin), wall_ns + (asked_ns - begun_ns))
        except UserError:
            if watch.last is None:
                raise
            watch.missed += 1
        else:
            if UNNAMED in reading.models:
                named = named or model_behind(watch.origin)
                reading = reading.called(named)
            if watch.meter is not None:
                reading = replace(reading, energy=watch.meter.read(asked_ns))
            watch.take(reading)
            yield reading
        if end_ns is not None and asked_ns >= end_ns:
            return
        turn = max(turn + 1, (time.monotonic_ns() - begun_ns) // watch.every_ns)
        next_ns = begun_ns + turn * watch.every_ns
        if end_ns is not None:
            next_ns = min(next_ns, end_ns)
        if stop(max(0.0, (next_ns - time.monotonic_ns()) / _SECOND_NS)):
            return


class EngineEnergy:
    """Joules of an engine's devices since it was made, with how they are known."""

    def __init__(self, counter: EnergyCounter, devices: int) -> None:
        self._counter, self._devices = counter, devices
        self._ns = time.monotonic_ns()
        self._uj, self._use = counter.microjoules(self._ns), NO_ENERGY

    def read(self, now_ns: int) -> EnergyUse:
        """Until a moment of the monotonic clock."""
        now_ns = max(self._ns, now_ns)
        reading = self._counter.microjoules(now_ns)
        passed = (now_ns - self._ns) * self._devices
        self._use += EnergyUse.of(self._counter.source, reading - self._uj, passed)
        self._ns, self._uj = now_ns, reading
        return self._use

    @property
    def note(self) -> str:
        """How the joules are known, a sentence without its full stop."""
        if not self._counter.note:
            return ""
        how = "it is not known" if self._counter.source == "none" else "power at full load, an upper bound"
        return f"energy: {how}, since {self._counter.note}"
