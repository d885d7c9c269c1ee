"""The book against a stopwatch outside the program, over a process's life: quiet ends, kill -9, two writers at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.ledger.made import in_one_piece

from centime.ledger import Book
from centime.ledger.interval import CLOSED, HEARTBEAT_NS, RECOVERED, Interval

# A verb in small: booked from its creation on, two stages, work that holds the interpreter's lock and that does not.
PROGRAM = """
import sys
from centime.ledger import life
life.begin("train")
import time
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
with Meter(Book(), run=sys.argv[1], verb="train", stage="pretrain", device=this_device("cpu"), devices=3) as meter:
    until = time.monotonic() + float(sys.argv[2])
    for step in range(10**9):
        if time.monotonic() > until:
            break
        meter.stage(("pretrain", "context")[step // 7 % 2])
        meter.add(tokens=100)
        sum(range(30_000))
        time.sleep(0.01)
life.leave(0)
"""

TICK = 10_000_000  # the kernel's clock tick, to which it knows when a process began

# Beyond the ledger's hands: starting the interpreter is inside the book, but a loaded machine may run the stopwatch's
# own process late, and takes the child down in its own time.
SLACK = 250_000_000


class Watched:
    """A process and the stopwatch that runs beside it."""

    def __init__(self, run: str, seconds: float) -> None:
        self.run = run
        self.began = time.monotonic_ns()
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, run, str(seconds)], stderr=subprocess.PIPE)

    def ended(self) -> int:
        """Nanoseconds from the creation of the process to its end."""
        _, errors = self.process.communicate()
        self.elapsed = time.monotonic_ns() - self.began
        assert errors == b""
        return self.elapsed

    def intervals(self, everything: list[Interval]) -> list[Interval]:
        mine = [interval for interval in everything if interval.pid == self.process.pid]
        return sorted(mine, key=lambda interval: interval.mono_start_ns)


def test_a_process_is_booked_from_its_creation_to_its_end() -> None:
    watched = Watched("whole", 1.0)
    elapsed = watched.ended()
    intervals = watched.intervals(Book().intervals())
    in_one_piece(intervals)
    assert {interval.state for interval in intervals} == {CLOSED}
    assert intervals[0].stage == intervals[-1].stage == "startup"
    assert {interval.run for interval in intervals} == {"whole"}
    booked = sum(interval.measured_ns for interval in intervals)
    assert elapsed - SLACK < booked <= elapsed
    assert sum(interval.device_ns for interval in intervals) == 3 * booked
    assert sum(interval.tokens for interval in intervals) % 100 == 0


@pytest.mark.parametrize(
    "rounds", [pytest.param(8, marks=pytest.mark.slow), pytest.param(150, marks=pytest.mark.long)], ids=str
)
def test_two_writers_and_kills_at_random_instants(rounds: int) -> None:
    """What was measured is never more than the stopwatch says; what it lacks is a heartbeat, a second at worst."""
    luck = random.Random(rounds)
    watched: list[Watched] = []
    for round_number in range(rounds):
        pair = [Watched(f"pair{round_number}", 60.0) for _ in range(2)]
        for one, delay in zip(pair, sorted(luck.uniform(0.02, 1.2) for _ in pair), strict=True):
            time.sleep(max(0.0, delay - (time.monotonic_ns() - one.began) / 1e9))
            os.kill(one.process.pid, signal.SIGKILL)
            one.ended()
        watched += pair
    everything = Book().intervals()
    estimated, begun = 0, 0
    for one in watched:
        intervals = one.intervals(everything)
        if not intervals:  # killed before the first line of Python
            assert one.elapsed < 1_000_000_000
            continue
        begun += 1
        in_one_piece(intervals)
        assert [interval.state for interval in intervals[:-1]] == [CLOSED] * (len(intervals) - 1)
        assert intervals[-1].state == RECOVERED
        measured = sum(interval.measured_ns for interval in intervals)
        assert measured <= one.elapsed
        assert one.elapsed - measured < 1_000_000_000 + TICK
        assert 0 < sum(interval.estimated_ns for interval in intervals) <= HEARTBEAT_NS
        estimated += sum(interval.estimated_ns for interval in intervals)
    assert begun >= rounds // 4  # a loaded machine may take most of a delay to start Python
    assert estimated <= begun * HEARTBEAT_NS
    assert [interval for interval in everything if interval.pid not in {one.process.pid for one in watched}] == []


def test_killed_before_its_run_has_a_name_it_is_booked_all_the_same() -> None:
    program = (
        "from centime.ledger import life\nlife.begin('train')\nprint('up', flush=True)\nimport time\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.6)
        process.kill()
    (interval,) = Book().intervals()
    assert (interval.run, interval.verb, interval.stage, interval.state) == ("", "train", "startup", RECOVERED)
    assert interval.measured_ns > 300_000_000


@pytest.mark.parametrize("end", ["", "raise SystemExit(2)", "raise ValueError"])
def test_a_verb_that_never_meters_leaves_nothing(end: str) -> None:
    program = f"from centime.ledger import life\nlife.begin('train')\n{end}"
    subprocess.run([sys.executable, "-c", program], check=False, stderr=subprocess.DEVNULL)
    assert Book().intervals() == []


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_keeps_the_exit_code_the_output_and_the_other_exit_handlers(code: int, tmp_path: Path) -> None:
    program = (
        "import atexit, sys\n"
        "from centime.ledger import life\n"
        "life.begin('train')\n"
        f"atexit.register(lambda: open({str(tmp_path / 'ran')!r}, 'w').close())\n"
        "sys.stdout.write('said')\n"
        f"life.leave({code})\n"
        f"sys.exit({code})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "said", "")
    assert (tmp_path / "ran").exists()


def test_a_second_meter_claims_no_second_start() -> None:
    program = """
from centime.ledger import life
life.begin("quickstart")
import time
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
for run in ("first", "second"):
    with Meter(Book(), run=run, verb="quickstart", stage="pretrain", device=this_device("cpu")):
        time.sleep(0.02)
    time.sleep(0.02)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    intervals = sorted(Book().intervals(), key=lambda interval: interval.mono_start_ns)
    in_one_piece(intervals)
    assert [(i.run, i.stage) for i in intervals] == [
        ("first", "startup"), ("first", "pretrain"), ("first", "startup"), ("second", "pretrain"),
        ("second", "startup"),
    ]  # fmt: skip


def test_a_meter_with_another_book_takes_the_start_with_it(tmp_path: Path) -> None:
    program = f"""
from centime.ledger import life
life.begin("train")
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
book = Book({str(tmp_path / "other.sqlite")!r})
with Meter(book, run="x", verb="train", stage="pretrain", device=this_device("cpu")):
    pass
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert Book().intervals() == []
    assert {i.stage for i in Book(tmp_path / "other.sqlite").intervals()} == {"startup", "pretrain"}
