"""A process's whole life on the bill: from its creation to its first meter, between meters, and after its last one.

The stopwatch outside starts when the process is created, seconds before torch is imported and the first meter opens.
A verb that uses a device says `begin(verb)` first of all: what no meter covers is then booked as stage 'startup'
of the process's run, which the first meter names. A process killed before that leaves a 'startup' without a run; one
that ends by itself without ever opening a meter (a mistyped option) leaves nothing.

A verb that ends with REFUSED, having computed nothing, in less than REFUSED_NS, leaves nothing either: what was asked
could not be done, and a name that nothing was made under is no run.

What remains outside the book is what the kernel needs to take the process down. The interpreter's own end would be
outside too, and with torch loaded takes most of a second on two cores, for nothing: `leave` does without it.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from contextlib import suppress

from centime.catalogue.prices import price_for
from centime.errors import UserError
from centime.ledger.book import default_book_path
from centime.ledger.device import this_device
from centime.ledger.energy import EnergyCounter
from centime.ledger.interval import Interval, begin_interval
from centime.ledger.process import process_start_ns
from centime.ledger.recorder import Recorder, recorder_for

STAGE = "startup"
REFUSED = 2  # the exit code of a verb that could not do what it was asked
REFUSED_NS = 60_000_000_000  # a refusal that took longer has cost something, and is booked


class _Life:
    """What no meter covers, while nobody covers it: one open interval, in one recorder."""

    def __init__(self) -> None:
        self.pid = 0  # of the process that said begin; 0 where nobody did
        self.start_ns = 0
        self.claimed = False  # a meter has named the run
        self.gap: tuple[Interval, Recorder] | None = None
        self.exit_code: int | None = None


_life = _Life()


def begin(verb: str) -> None:
    """Book this process from its creation on. Call it before the heavy imports; a second call does nothing.

    Under torchrun the ranks after the first wait for their own meters: the first rank's may count their devices.
    A book that cannot be opened is left for the first meter to complain about.
    """
    if _life.pid == os.getpid():
        return
    _life.pid, _life.start_ns = os.getpid(), process_start_ns()
    _life.claimed, _life.gap, _life.exit_code = False, None, None
    atexit.register(_end)
    if int(os.environ.get("RANK") or 0) > 0:
        return
    device = this_device("cpu")  # until a meter says better: asking a GPU's driver may take a second
    with suppress(UserError):
        interval = begin_interval(("", None), verb, STAGE, device, price=price_for(device), start_ns=_life.start_ns)
        recorder = recorder_for(default_book_path())
        recorder.switch(None, interval, EnergyCounter(device, 1), interval.mono_start_ns)
        _life.gap = (interval, recorder)
        recorder.start()


def unmetered_seconds() -> float:
    """Seconds since the creation of the process while no meter has opened yet; 0 after that, or without `begin`."""
    if _life.pid != os.getpid() or _life.claimed:
        return 0.0
    return (time.monotonic_ns() - _life.start_ns) / 1e9


def before(first: Interval, recorder: Recorder, counter: EnergyCounter) -> Interval | None:
    """The open interval of stage 'startup' since the process began or its last meter ended, None where there is none.

    The caller ends it where `first` begins.
    """
    if _life.pid != os.getpid():
        return None
    gap, _life.gap = _life.gap, None
    claimed, _life.claimed = _life.claimed, True
    if gap is not None and gap[1] is not recorder:  # another book
        if claimed:
            gap[1].switch(gap[0], None, counter, first.mono_start_ns)
        else:
            gap[1].drop(gap[0])
        gap[1].finish()
        gap = None
    if claimed:
        return gap[0] if gap else None
    if gap is None:
        interval = begin_interval(("", None), first.verb, STAGE, this_device("cpu"), start_ns=_life.start_ns)
        recorder.switch(None, interval, counter, first.mono_start_ns)
    else:
        interval = gap[0]
    with recorder.lock:
        _attribute(interval, first)
    return interval


def after(last: Interval, end_ns: int) -> Interval | None:
    """The interval for the time after the last meter, for the caller to begin; None in a process without `begin`."""
    if _life.pid != os.getpid() or _life.gap is not None:
        return None
    interval = begin_interval(("", None), last.verb, STAGE, this_device("cpu"), start_ns=end_ns)
    _attribute(interval, last)
    return interval


def cover(interval: Interval, recorder: Recorder) -> None:
    """`interval`, just begun, goes on until the next meter or the end of the process."""
    _life.gap = (interval, recorder)


def _attribute(interval: Interval, other: Interval) -> None:
    """Whose it is, on what and at what price: the same as `other`."""
    for name in (
        "run", "run_path", "device", "device_kind", "vcpus", "devices", "peak_flops",
        "price_per_hour", "currency", "price_date", "price_source", "price_kind", "price_note",
    ):  # fmt: skip
        setattr(interval, name, getattr(other, name))


def leave(code: object) -> None:
    """The verb is done and the process will exit with `code` (SystemExit's): once every exit handler has run and the
    book is written, it ends at once. Without `begin`, or for a code that is a message, this changes nothing."""
    if _life.pid == os.getpid() and (code is None or isinstance(code, int)):
        _life.exit_code = code or 0


def _end() -> None:
    """The exit handler, the last to run because it was registered first."""
    if _life.pid != os.getpid():  # a forked child has nothing to book
        return
    gap, _life.gap = _life.gap, None
    if gap is not None:
        interval, recorder = gap
        now = time.monotonic_ns()
        refused = _life.exit_code == REFUSED and now - _life.start_ns < REFUSED_NS
        if not _life.claimed:
            recorder.drop(interval)
        elif not (refused and recorder.forget()):
            recorder.switch(interval, None, EnergyCounter(this_device("cpu"), 1), now)
        recorder.finish(leaving=_life.exit_code is not None)
    if _life.exit_code is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or its reader has left
                stream.flush()
        os._exit(_life.exit_code)
