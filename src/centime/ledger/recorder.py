"""The thread that keeps the book up to date for one process: a heartbeat four times a second, and every change at once.

Only this thread writes while the work runs, so that a locked book or a full disk never stops the work; what could not
be written stays and is written with the next heartbeat. PyTorch, NumPy, SQLite and the tokenizers let go of Python's
lock while they compute, so the thread gets its turn within milliseconds; a call that holds the lock for longer delays
the heartbeat by as much.
"""

from __future__ import annotations

import copy
import os
import sqlite3
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError
from centime.ledger.book import Book
from centime.ledger.energy import EnergyCounter
from centime.ledger.interval import CLOSED, HEARTBEAT_NS, Interval


@dataclass
class _Running:
    interval: Interval
    counter: EnergyCounter
    first_uj: int  # the counter's reading when the interval began

    def measure(self, now_ns: int, reading_uj: int) -> Interval:
        """Bring the interval's figures up to `now_ns`."""
        self.interval.measured_ns = now_ns - self.interval.mono_start_ns
        self.interval.energy_uj = reading_uj - self.first_uj
        self.interval.energy_source = self.counter.source  # which changes where a counter is lost
        return self.interval


class Recorder:
    """Writes the intervals of this process into one book. `lock` guards the figures of open intervals."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.lock = threading.Lock()
        self._pid = os.getpid()
        self._open: dict[str, _Running] = {}
        self._closed: dict[str, Interval] = {}  # not in the book yet
        self._written: set[str] = set()  # every interval that went into the book
        self._worked = False  # some of them computed something
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def switch(self, old: Interval | None, new: Interval | None, counter: EnergyCounter, at_ns: int) -> None:
        """End `old` and begin `new` at the instant `at_ns`, as one change: no nanosecond, no joule falls between them.

        counter: of `new`, or of `old` where there is no new one. The start of `new` may lie before `at_ns`.
        """
        with self.lock:
            reading = None
            if old is not None:
                running = self._open.pop(old.id)
                ending = running.counter.microjoules(at_ns)
                running.measure(at_ns, ending).state = CLOSED
                self._closed[old.id] = old
                reading = ending if running.counter is counter else None
            if new is not None:
                new.energy_source = counter.source
                if reading is None or new.mono_start_ns != at_ns:
                    reading = counter.microjoules(new.mono_start_ns)
                self._open[new.id] = _Running(new, counter, reading)
        self._wake.set()

    def drop(self, interval: Interval) -> None:
        """Forget an open interval, in the book too."""
        with self._flushing:
            with self.lock:
                self._open.pop(interval.id, None)
            with suppress(sqlite3.Error):
                self.book.remove(interval.id)

    def forget(self) -> bool:
        """Take everything of this process out of the book again, unless some of it computed a token or a FLOP."""
        with self._flushing:
            with self.lock:
                left = [*self._closed.values(), *(running.interval for running in self._open.values())]
                if self._worked or any(interval.tokens or interval.flops for interval in left):
                    return False
                self._open.clear()
                self._closed.clear()
            with suppress(sqlite3.Error):
                for written in self._written:
                    self.book.remove(written)
        return True

    def flush(self) -> None:
        """Write what is open as it stands now and what was closed since. Raises sqlite3.Error; nothing is lost then."""
        with self._flushing:
            with self.lock:
                now = time.monotonic_ns()
                rows = list(self._closed.values())
                rows += [copy.copy(r.measure(now, r.counter.microjoules(now))) for r in self._open.values()]
            if not rows:
                return
            self.book.write(rows)
            self._written.update(row.id for row in rows)
            self._worked = self._worked or any(row.tokens or row.flops for row in rows)
            with self.lock:
                for row in rows:
                    if row.state == CLOSED:
                        self._closed.pop(row.id, None)

    def start(self) -> None:
        """Write once, so that a book that cannot be written is known before any work; then beat. Raises UserError."""
        try:
            self.flush()
        except sqlite3.Error as error:
            raise UserError(
                f"the ledger {self.book.path} cannot be written ({error}); free its disk, or set CENTIME_HOME."
            ) from None
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="centime-ledger", daemon=True)
            self._thread.start()

    def finish(self, leaving: bool = False) -> None:
        """Write the last word, and close the file if nothing is open any more, unless the process is `leaving`:
        SQLite takes a last connection's time to tidy its log, and the next one does it as well.

        A book that cannot be written even now is told to the user, with what it lacks.
        """
        if os.getpid() != self._pid:  # a forked child: the intervals are its parent's
            return
        try:
            self.flush()
        except sqlite3.Error as error:
            lacking = sum(row.device_ns for row in self._closed.values()) / 1e9
            print(
                f"centime: the ledger {self.book.path} could not be written ({error}): up to {lacking:.1f} "
                "device-seconds at the end of this run may be missing from the bill.",
                file=sys.stderr,
            )
        if not self._open and not leaving:
            self._stopping = True
            self._wake.set()
            if self._thread is not None:
                self._thread.join()
            _recorders.pop((self._pid, str(self.book.path.absolute())), None)
            self.book.close()

    def _beat(self) -> None:
        while not self._stopping:
            self._wake.wait(HEARTBEAT_NS / 1e9)
            self._wake.clear()
            try:
                self.flush()
            except sqlite3.Error:
                time.sleep(0.02)  # locked or full: the next round writes it all


_recorders: dict[tuple[int, str], Recorder] = {}


_inherited: list[Recorder] = []  # of a parent; never closed, for another thread may have been inside SQLite at the fork


def _forked() -> None:
    """In a forked child: whoever held a lock of these is not here to let it go."""
    for recorder in _recorders.values():
        recorder.lock, recorder._flushing = threading.Lock(), threading.Lock()
    _inherited.extend(_recorders.values())
    _recorders.clear()


os.register_at_fork(after_in_child=_forked)


def recorder_for(path: Path) -> Recorder:
    """This process's recorder for the book at `path`: the meters of one process share a thread and a connection."""
    key = (os.getpid(), str(path.absolute()))
    recorder = _recorders.get(key)
    if recorder is None:
        recorder = _recorders[key] = Recorder(Book(path))
    return recorder
