"""How well `centime train` forecasts itself: whole runs, the plan over the actual, and whether the interval held it.

    python benchmarks/forecast.py                    # five quickstarts: half an hour on two idle cores
    python benchmarks/forecast.py --runs 5 --small   # five runs of recipes/tiny.toml's size, a minute each
    python benchmarks/forecast.py --json forecast.json

Each run is a process of its own, with a ledger of its own, on a machine that should be idle: the load is printed. The
ratio is plan over actual of the whole run, start-up included; the goal is a median within 0.85 to 1.15 and every run
inside the interval that its first forecast stated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GOAL = (0.85, 1.15)


def centime(home: Path, *arguments: str) -> str:
    """Standard output of a command of this checkout; its standard error goes to the terminal."""
    environment = os.environ | {"CENTIME_HOME": str(home)}
    command = [sys.executable, "-m", "centime", *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def one_run(work: Path, number: int, small: bool, home: Path) -> dict[str, Any]:
    """The figures of one run: plan, interval, corrected plan and actual seconds, whole and by stage."""
    folder = work / f"run-{number}"
    if small:
        prepared = work / "quickstart"
        if not prepared.exists():
            centime(home, "quickstart", "--out", str(prepared), "--budget", "40K-tokens")
        sizes = ("train.tokens=300K", "context.tokens=60K", "sft.epochs=0.5")
        changes = [part for size in sizes for part in ("--set", size)]
        centime(home, "train", str(prepared / "recipe.toml"), "--out", str(folder), *changes)
    else:
        centime(home, "quickstart", "--out", str(folder))
    plan = json.loads(centime(home, "bill", str(folder), "--json"))["plan"]
    said, actual = plan["predicted"], plan["actual"]
    took = actual["seconds"]
    corrected = said.get("corrected")
    return {
        "plan": said["seconds"],
        "low": said["seconds_low"],
        "high": said["seconds_high"],
        "actual": took,
        "ratio": said["seconds"] / took,
        "inside": said["seconds_low"] <= took <= said["seconds_high"],
        "corrected": corrected["seconds"] / took if corrected else None,
        "corrected_inside": corrected["seconds_low"] <= took <= corrected["seconds_high"] if corrected else None,
        "stages": {
            name: said["stages"][name]["seconds"] / found["seconds"] for name, found in actual["stages"].items()
        },
    }


def main() -> None:
    """Prints a line a run, then the median and how many intervals held."""
    parser = argparse.ArgumentParser(description="Plan over actual of whole training runs.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="runs of a minute instead of quickstarts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(1, given.runs + 1):
            load = os.getloadavg()[0]
            run = one_run(Path(name), number, given.small, Path(name) / "home") | {"load": load}
            found.append(run)
            stages = ", ".join(f"{stage} {ratio:.2f}" for stage, ratio in run["stages"].items())
            again = "" if run["corrected"] is None else f"; after ten seconds {run['corrected']:.2f}"
            print(
                f"run {number} (load {load:.1f}): plan / actual {run['ratio']:.2f} ({stages}){again}; "
                f"{run['plan']:.0f} s, said {run['low']:.0f} to {run['high']:.0f}, took {run['actual']:.0f}: "
                f"{'inside' if run['inside'] else 'OUTSIDE'}",
                flush=True,
            )
    median = statistics.median(run["ratio"] for run in found)
    held = sum(run["inside"] for run in found)
    reached = GOAL[0] <= median <= GOAL[1] and held == len(found)
    print(f"median {median:.2f}, {held} of {len(found)} inside: the goal is {'reached' if reached else 'NOT reached'}")
    if given.json is not None:
        given.json.write_text(json.dumps({"runs": found, "median": median, "inside": held}, indent=1) + "\n")


if __name__ == "__main__":
    main()
