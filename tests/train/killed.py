"""Runs that `kill -9` ends at random instants, begun again each time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.forked import centime, centime_process

PRICE = ("--price", "$1/h")
LONGEST = 0.03  # seconds between a record and the kill, at most: a few steps of runs as small as these


def finish_in_spite_of(recipe: Path, folder: Path, kills: Sequence[int], seed: int, *more: object) -> int:
    """Trains to the end, killed once for each number of `kills` a random moment after metrics.jsonl has as many lines.

    more: arguments of every start. Returns how many kills hit a living process; a run that had ended by then has lost
    nothing.
    """
    draw, hits, record = random.Random(seed), 0, folder / "metrics.jsonl"
    start = ("train", recipe, "--out", folder, "--resume", *PRICE, *more)
    for wanted in kills:
        process = centime_process(*start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and not (record.exists() and record.read_bytes().count(b"\n") >= wanted):
            time.sleep(0.005)
        time.sleep(draw.uniform(0, LONGEST))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            hits += 1
        process.wait()
    done = centime(*start)
    assert done.returncode == 0, done.stderr
    return hits
