"""The meter: `with Meter(...)` books the device-time, energy and tokens of what runs inside it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType

from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.ledger import life
from centime.ledger.book import Book, name_of
from centime.ledger.device import Device
from centime.ledger.energy import EnergyCounter
from centime.ledger.interval import Interval, begin_interval
from centime.ledger.recorder import Recorder, recorder_for
from centime.units import HOUR_NS


@dataclass(frozen=True)
class Spent:
    """What a meter has booked so far. cost and currency are None without a price."""

    device_ns: int
    cost: float | None
    currency: str | None

    def as_json(self) -> dict[str, int | float | str | None]:
        """{device_ns, cost, currency}, in whole nanoseconds of device-time and in units of the currency."""
        return {"device_ns": self.device_ns, "cost": self.cost, "currency": self.currency}


# The meters of this process that are open, by device, innermost last. Only the innermost books: a device's
# time is counted once, however the code that uses it is nested.
_stacks: dict[str, list[Meter]] = {}
os.register_at_fork(after_in_child=_stacks.clear)  # a forked child has no meter open: its parent's are its parent's


class Meter:
    """Books `devices` devices from `with` to its end, in integer nanoseconds of the monotonic clock.

    run: a run folder's path or a name; verb: what the user typed; stage: the first stage ('pretrain', 'context', 'sft',
    'serve', ...). price: per device-hour, None if nobody knows one. MFU is of the device's peak; for a CPU, of which
    the catalogue knows none, the caller measures one.

    A meter opened inside another one of the same process and device suspends the outer one until it ends. A process
    that said `life.begin` also books the time before its first meter and after its last, as stage 'startup', on
    whatever device that is. What a forked child does with its parent's meters books nothing; it may open its own.
    Time while the machine is suspended is not device-time: the monotonic clock stands still, and nothing is booked.
    Raises UserError when the book cannot be opened or written at the start; later trouble with it never stops the work.
    """

    def __init__(
        self,
        book: Book,
        *,
        run: str | os.PathLike[str],
        verb: str,
        stage: str,
        device: Device,
        devices: int = 1,
        price: Price | None = None,
    ) -> None:
        if devices < 1:
            raise UserError(f"a meter books at least one device; found devices={devices}.")
        self._path, self._run, self._verb, self._stage = book.path, name_of(run), verb, stage
        self._device, self._devices, self._price = device, devices, price
        self._peak = device.peak_flops
        self._interval: Interval | None = None  # the open one; None before, after, and while an inner meter books
        self._ended_ns = 0  # of the intervals before
        self._waiting_tokens, self._waiting_flops = 0, 0.0  # added while no interval is open
        self._recorder: Recorder | None = None

    def __enter__(self) -> Meter:
        recorder = recorder_for(self._path)
        self._recorder, self._counter = recorder, EnergyCounter(self._device, self._devices)
        stack = _stacks.setdefault(self._device.key, [])
        first = self._begin()
        if stack:
            stack[-1]._hand_over(first, recorder, self._counter)
        else:
            before = life.before(first, recorder, self._counter)
            recorder.switch(before, first, self._counter, first.mono_start_ns)
        stack.append(self)
        try:
            recorder.start()
        except UserError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        recorder = self._recorder
        if recorder is None or self not in _stacks.get(self._device.key, ()):  # not open, or open in the parent alone
            return
        stack = _stacks[self._device.key]
        innermost = stack[-1] is self
        stack.remove(self)
        if innermost and stack:
            outer = stack[-1]
            assert outer._recorder is not None
            self._hand_over(outer._begin(), outer._recorder, outer._counter)
        elif innermost and self._interval is not None:
            now = time.monotonic_ns()
            tail = None if any(_stacks.values()) else life.after(self._interval, now)
            if tail is not None:
                life.cover(tail, recorder)
            self._hand_over(tail, recorder, self._counter, now)
        self._recorder = None
        recorder.finish()

    def stage(self, name: str) -> None:
        """From this instant on, book stage `name`. The old interval ends and the new begins at the same nanosecond."""
        if name == self._stage:
            return
        self._stage = name
        old = self._interval
        if old is not None and self._recorder is not None:
            new = self._begin()
            self._recorder.switch(old, new, self._counter, new.mono_start_ns)
            self._ended_ns += old.measured_ns

    def set_peak(self, flops: float) -> None:
        """The yardstick of MFU from now on, FLOP/s of one device, of the open interval too: the old one was wrong."""
        self._peak = flops
        recorder, interval = self._recorder, self._interval
        if recorder is not None and interval is not None:
            with recorder.lock:
                interval.peak_flops = flops

    def add(self, tokens: int = 0, flops: float = 0.0) -> None:
        """Add tokens and model FLOPs to the open interval. Costs about a microsecond; the next heartbeat writes it."""
        recorder = self._recorder
        if recorder is None:
            raise RuntimeError("Meter.add outside `with`: there is no interval to add to")
        with recorder.lock:
            interval = self._interval
            if interval is None:
                self._waiting_tokens += tokens
                self._waiting_flops += flops
            else:
                interval.tokens += tokens
                interval.flops += flops

    def spent(self) -> Spent:
        """Device-time and money of this meter since it opened, without what meters inside it booked."""
        running = self._interval
        device_ns = (self._ended_ns + (time.monotonic_ns() - running.mono_start_ns if running else 0)) * self._devices
        if self._price is None:
            return Spent(device_ns, None, None)
        return Spent(device_ns, device_ns * self._price.per_device_hour / HOUR_NS, self._price.currency)

    def _begin(self) -> Interval:
        """An interval that begins now, for the caller to hand to a recorder; from here on `add` adds to it."""
        interval = begin_interval(self._run, self._verb, self._stage, self._device, self._devices, self._price)
        interval.peak_flops = self._peak
        interval.tokens, interval.flops = self._waiting_tokens, self._waiting_flops
        self._waiting_tokens, self._waiting_flops = 0, 0.0
        self._interval = interval
        return interval

    def _hand_over(
        self, successor: Interval | None, recorder: Recorder, counter: EnergyCounter, at_ns: int | None = None
    ) -> None:
        """End the open interval where `successor`, in `recorder`, begins; without one, at `at_ns`."""
        mine, self._interval = self._interval, None
        if successor is not None:
            at_ns = successor.mono_start_ns
        assert at_ns is not None
        if mine is not None and self._recorder is not None and self._recorder is not recorder:  # another book
            self._recorder.switch(mine, None, self._counter, at_ns)
            recorder.switch(None, successor, counter, at_ns)
        else:
            recorder.switch(mine, successor, counter, at_ns)
        self._ended_ns += mine.measured_ns if mine is not None else 0
