"""Processes that centime starts for itself: a terminal sends its Ctrl-C to them too, and the parent answers it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes started meanwhile by this thread never see SIGINT, from their first instruction on.

    A process inherits the mask of the thread that starts it. What comes for ourselves meanwhile is answered afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
