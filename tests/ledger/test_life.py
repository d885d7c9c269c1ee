"""A process's life in the book: children, several devices, and a verb that computed nothing."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ledger.made import in_one_piece

from centime.ledger import Book
from centime.ledger.interval import CLOSED


def test_a_forked_child_books_nothing_and_spoils_nothing() -> None:
    program = """
import os, sys, time
from centime.ledger import life
life.begin("train")
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
with Meter(Book(), run="x", verb="train", stage="pretrain", device=this_device("cpu")) as meter:
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    time.sleep(0.05)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    intervals = sorted(Book().intervals(), key=lambda interval: interval.mono_start_ns)
    in_one_piece(intervals)
    assert [(i.stage, i.state) for i in intervals] == [("startup", CLOSED), ("pretrain", CLOSED), ("startup", CLOSED)]
    assert intervals[1].measured_ns > 50_000_000


def test_a_child_forked_while_the_parents_locks_are_held_meters_what_it_does() -> None:
    """The worst moment for a fork: another thread is inside the recorder. The child opens a meter of its own, on the
    same device and in the same book, adds to the one it inherited, and leaves both."""
    program = """
import os, sys, threading, time
from centime.ledger import life
life.begin("train")
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
device = this_device("cpu")
with Meter(Book(), run="x", verb="train", stage="pretrain", device=device) as meter:
    held, done = threading.Event(), threading.Event()
    def hold():
        with meter._recorder._flushing, meter._recorder.lock:  # in the order of flush
            held.set()
            done.wait()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        with Meter(Book(), run="y", verb="data", stage="prepare", device=device) as own:
            own.add(tokens=3)
            meter.add(tokens=1000)
            meter.stage("sft")
            time.sleep(0.02)
        sys.exit(0)
    done.set()
    holder.join()
    until = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, 9)
    assert ended[1] == 0 and ended[0] == child, ended
    meter.add(tokens=7)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    intervals = sorted(Book().intervals(), key=lambda interval: interval.mono_start_ns)
    own = [interval for interval in intervals if interval.run == "y"]
    assert [(i.stage, i.tokens, i.state) for i in own] == [("prepare", 3, CLOSED)]
    parents = [interval for interval in intervals if interval.run == "x"]
    in_one_piece(parents)
    assert [(i.stage, i.tokens) for i in parents] == [("startup", 0), ("pretrain", 7), ("startup", 0)]


@pytest.mark.parametrize("seed", range(3))
def test_meters_on_two_devices_leave_no_start_up_beside_them(seed: int) -> None:
    """Opened and closed in any order: what no meter covers is start-up, and while any meter is open there is none."""
    program = """
import random, sys, time
from centime.ledger import life
life.begin("train")
from centime.ledger import Book, Meter
from centime.ledger.device import Device
chosen, opened = random.Random(int(sys.argv[1])), []
for move in range(30):
    if opened and (len(opened) > 4 or chosen.random() < 0.55):
        opened.pop(chosen.randrange(len(opened))).__exit__(None, None, None)
    else:
        name = chosen.choice(("one", "two"))
        device = Device(name, "cpu", 1, 2, 10.0, "assumed", None)
        opened.append(Meter(Book(), run="x", verb="train", stage="pretrain", device=device))
        opened[-1].__enter__()
    time.sleep(0.002)
while opened:
    opened.pop().__exit__(None, None, None)
"""
    subprocess.run([sys.executable, "-c", program, str(seed)], check=True)
    intervals = sorted(Book().intervals(), key=lambda interval: interval.mono_start_ns)
    for device in {interval.device for interval in intervals}:
        of_it = [i for i in intervals if i.device == device]
        for before, after in itertools.pairwise(of_it):
            assert before.mono_start_ns + before.measured_ns <= after.mono_start_ns
    uncovered = [interval for interval in intervals if interval.stage == "startup"]
    assert len(uncovered) >= 2
    for start in uncovered:
        ends = start.mono_start_ns + start.measured_ns
        assert not [i for i in intervals if i.stage != "startup" and i.mono_start_ns < ends
                    and i.mono_start_ns + i.measured_ns > start.mono_start_ns]  # fmt: skip
    last = max(interval.mono_start_ns + interval.measured_ns for interval in intervals)
    covered = start_of_all = min(interval.mono_start_ns for interval in intervals)
    for interval in intervals:  # and nothing of the process's life is left out
        assert interval.mono_start_ns <= covered
        covered = max(covered, interval.mono_start_ns + interval.measured_ns)
    assert covered == last > start_of_all


@pytest.mark.parametrize(("tokens", "code", "left"), [(0, 2, []), (1, 2, ["metered"]), (0, 70, ["metered"])])
def test_a_refusal_that_computed_nothing_leaves_nothing(
    tmp_path: Path, tokens: int, code: int, left: list[str]
) -> None:
    program = (
        "from centime.ledger import life\n"
        "life.begin('train')\n"
        "import time\n"
        "from centime.ledger import Book, Meter\n"
        "from centime.ledger.device import this_device\n"
        "with Meter(Book(), run='metered', verb='train', stage='pretrain', device=this_device('cpu')) as meter:\n"
        "    time.sleep(0.3)\n"
        f"    meter.add(tokens={tokens})\n"
        f"life.leave({code})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (code, b"")
    assert sorted({interval.run for interval in Book().intervals()}) == left
