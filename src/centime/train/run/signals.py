"""SIGTERM and Ctrl-C as a request to stop at the end of the step: save, and leave with the bill."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class Interrupted(KeyboardInterrupt):
    """The first signal came where nothing is worth finishing."""


class StopSignals:
    """While open, the first SIGTERM or SIGINT is remembered in `received`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._at_once = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # elsewhere signals cannot be handled
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Meanwhile the first signal raises Interrupted, until `hold`: what is done here can be done anew."""
        before, self._at_once = self._at_once, True
        try:
            if self.received is not None:
                raise Interrupted
            yield
        finally:
            self._at_once = before

    def hold(self) -> None:
        """From here on the first signal waits again: what comes must not be left half done."""
        self._at_once = False

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        if self._at_once:
            raise Interrupted
