"""How long a plan takes to ask for: from a cold start, and the search for a layout of DeepSeek-V3 on 2,048 H800s.

usage: benchmarks/plan.py [--runs 7] [--json]

Each run is a new process, beside one of an empty Python, whose share is not ours to lower. The search counts processor
seconds of one thread, and how many feasible layouts it weighed in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from rich.console import Console

PLAN = ["-m", "centime", "plan", "train", "--model", "deepseek-v3", "--tokens", "14.8T", "--gpu", "h800"]
PLAN += ["--gpus", "2048", "--price", "$2/h", "--layout", "pp=16,ep=64,dp=128,schedule=dualpipe", "--json"]
SEARCH = """
import json, time
from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.layouts.search import search
from centime.plan.step.efficiency import Software
from centime.plan.step.job import Job

job = Job(architecture("deepseek-v3"), chip("h800"), 4096, 15_360, "fp8", Software(2024.9))
start = time.process_time()
found = search(job, 2048)
print(json.dumps([time.process_time() - start, found.feasible, found.best.seconds]))
"""


def seconds(arguments: list[str]) -> float:
    """Wall seconds of one Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds(PLAN)  # compiles what is not compiled yet
    pairs = [(seconds(["-c", "pass"]), seconds(PLAN)) for _ in range(options.runs)]
    done = subprocess.run([sys.executable, "-c", SEARCH], check=True, capture_output=True, text=True)
    searched, feasible, best = json.loads(done.stdout)
    found = {
        "python_start_seconds": statistics.median(empty for empty, _ in pairs),
        "plan_train_seconds": statistics.median(plan for _, plan in pairs),
        "search_cpu_seconds": searched,
        "feasible_layouts": feasible,
        "best_step_seconds": best,
    }
    if options.json:
        print(json.dumps(found))
        return
    say = Console(highlight=False).print
    cold, empty = found["plan_train_seconds"], found["python_start_seconds"]
    say(f"centime plan train, cold: {cold:.2f} s (an empty Python: {empty:.2f} s)")
    say(f"V3 on 2,048 H800s: {feasible:,} feasible layouts in {searched:.2f} processor seconds; best step {best:.2f} s")


if __name__ == "__main__":
    main()
