"""Work in a thread that ends with it, and processes that a terminal's Ctrl-C does not reach."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from centime.children import deaf_to_interrupts
from centime.threads import in_passing_thread

ASKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def test_what_work_returns_or_raises_comes_back_and_its_thread_is_gone() -> None:
    ran = in_passing_thread(threading.current_thread, "passing")
    assert (ran.name, ran.daemon, ran.is_alive()) == ("passing", True, False)
    with pytest.raises(ZeroDivisionError):
        in_passing_thread(lambda: 1 / 0, "passing")


def test_children_are_deaf_to_interrupts_and_we_are_again_what_we_were() -> None:
    def child() -> str:
        return subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True).stdout.strip()

    with deaf_to_interrupts():
        assert child() == "True"
    assert child() == "False"
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with deaf_to_interrupts():
            pass
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
