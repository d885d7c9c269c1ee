"""Training speed beside other people's stacks, as ratios in one run.

usage: benchmarks/train.py [--sequence 256|1024|both] [--peers transformers,torchtitan] [--rounds 8] [--steps 3]
                           [--warm-up 3] [--threads 2] [--precision auto|bf16|fp32] [--json]

One full training step (forward, backward, clip, AdamW) of the shape in shapes.py, 2,048 tokens a step, from the same
initial weights on the same batches, in bf16 over fp32 weights (auto: in fp32 where a processor only emulates bf16).
Every contestant is a process of its own with --threads threads; all are started first, then they take turns, a few
steps each (A B C A B C ...): a machine that drifts drifts for all.
The peers are transformers' DeepseekV3 (eager) and torchtitan's deepseek_v3 modules (eager, and compiled per block),
both under autocast where products are bf16, with a fused AdamW.

- tokens/s: 2,048 over the median second of its steps, warm-up steps left out;
- peak: model FLOPs per second over the best that a product of two 2048 x 2048 matrices reached in the same rounds;
- centime is: the median over rounds of (its median second / centime's) within the round;
- ready: from starting the process to the end of its first training step: interpreter, imports, building the model,
  reading its weights, compiling (from nothing);
- memory: the process's largest resident set;
- off: the largest distance of its losses from those of the fp32 reference (transformers in fp32) on the same steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from centime.ops.precision import native_bf16
from contestant import GEMM_SIZE
from initial import write
from shapes import BATCH, active_matmul_params, flops_per_token
from worker import Worker

HERE = Path(__file__).parent
PEERS = {  # package -> (its contestants, how to get it)
    "transformers": (("transformers",), "pip install 'transformers>=5.17'"),
    "torchtitan": (
        ("torchtitan", "torchtitan-compiled"),
        "pip install --no-deps torchtitan==0.3.0 spmd_types==0.2.3",
    ),
}


@dataclass
class Contestant:
    """A running contestant process and what it has answered so far."""

    name: str
    folder: Path
    sequence: int
    threads: int
    precision: str = "bf16"
    ready_seconds: float = 0.0
    peak_bytes: int = 0
    losses: list[float] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)

    def start(self) -> None:
        """Starts the process and waits until its first step is done; nothing else runs meanwhile."""
        environment = os.environ | {
            "OMP_NUM_THREADS": str(self.threads),
            "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor"),  # compiled from nothing, as on a first run
            "HF_HUB_OFFLINE": "1",
        }
        work = (self.name, str(self.folder), str(self.sequence), self.precision)
        command = [sys.executable, str(HERE / "contestant.py"), *work]
        began = time.perf_counter()
        self._worker = Worker(self.name, command, environment)
        self._keep(self._worker.answer())
        self.ready_seconds = time.perf_counter() - began

    def _keep(self, found: dict[str, Any]) -> None:
        self.peak_bytes = found["peak_bytes"]
        self.losses += found["losses"]

    def run(self, steps: int, timed: bool = True) -> None:
        """Has the process run some steps; `timed` ones make a round."""
        found = self._worker.ask({"steps": steps})
        self._keep(found)
        if timed:
            self.rounds.append(found["seconds"])

    def stop(self) -> None:
        """Ends the process."""
        if hasattr(self, "_worker"):
            self._worker.stop()

    @property
    def seconds(self) -> float:
        """Median second of a timed step."""
        return statistics.median(second for seconds in self.rounds for second in seconds)


def available(peers: list[str]) -> tuple[list[str], dict[str, str]]:
    """The contestants to run and, of the peers that are not installed, the command that installs them."""
    names, absent = ["centime"], {}
    for peer in peers:
        contestants, command = PEERS[peer]
        if importlib.util.find_spec(peer) is None:
            absent[peer] = command
        else:
            names += contestants
    return names, absent


def ratios(ours: Contestant, theirs: Contestant) -> list[float]:
    """How many times ours is as fast, round by round."""
    pairs = zip(ours.rounds, theirs.rounds, strict=True)
    return [statistics.median(their) / statistics.median(our) for our, their in pairs]


def furthest(losses: list[float], reference: list[float]) -> float | None:
    """Largest distance of the losses from the reference's on the same steps; None where there is no reference."""
    return max((abs(a - b) for a, b in zip(losses, reference, strict=True)), default=None) if reference else None


def measure(sequence: int, names: list[str], options: argparse.Namespace, say: Any) -> dict[str, Any]:
    """All contestants at one sequence length; what `--json` prints of it."""
    threads, precision = options.threads, options.precision
    with tempfile.TemporaryDirectory(prefix="centime-bench-") as temporary:
        folder = write(Path(temporary))
        gemm = Contestant("gemm", folder, sequence, threads, precision)
        running = [Contestant(name, folder, sequence, threads, precision) for name in names]
        reference = Contestant("reference", folder, sequence, threads)
        try:
            for contestant in [gemm, *running]:
                say(f"starting {contestant.name}")
                contestant.start()
                contestant.run(options.warm_up, timed=False)
            for number in range(options.rounds):
                say(f"round {number + 1} of {options.rounds}")
                for contestant in [gemm, *running]:
                    contestant.run(options.steps)
            losses: list[float] = []
            if importlib.util.find_spec("transformers") is not None:
                say("the fp32 reference")
                reference.start()
                reference.run(len(running[0].losses) - 1)
                losses = reference.losses
        finally:
            for contestant in [gemm, *running, reference]:
                contestant.stop()
    best = 2 * GEMM_SIZE**3 / min(second for seconds in gemm.rounds for second in seconds)
    found: dict[str, Any] = {
        "sequence": sequence,
        "batch": BATCH[sequence],
        "precision": precision,
        "flops_per_token": flops_per_token(sequence),
        "gemm_flops_per_second": best,
        "reference_losses": losses,
        "contestants": {},
    }
    for contestant in running:
        rate = sequence * BATCH[sequence] / contestant.seconds
        per_round = ratios(running[0], contestant)
        found["contestants"][contestant.name] = {
            "tokens_per_second": rate,
            "share_of_gemm_peak": rate * flops_per_token(sequence) / best,
            "ready_seconds": contestant.ready_seconds,
            "peak_bytes": contestant.peak_bytes,
            "ours_over_it": statistics.median(per_round),
            "ours_over_it_by_round": per_round,
            "losses": contestant.losses,
            "furthest_from_reference": furthest(contestant.losses, losses),
        }
    return found


def show(console: Console, result: dict[str, Any], absent: dict[str, str], threads: int) -> None:
    """The table of one sequence length."""
    table = Table(
        title=f"{result['sequence']:,} tokens x {result['batch']}, {threads} threads, {result['precision']}; peak: "
        f"{result['gemm_flops_per_second'] / 1e9:,.0f} GFLOP/s",
        caption=f"{active_matmul_params() / 1e6:.1f} M active parameters, "
        f"{result['flops_per_token'] / 1e6:.1f} MFLOP a token; ratios: median over rounds (lowest to highest)",
    )
    for column in ("", "tokens/s", "peak", "centime is", "ready", "memory", "off"):
        table.add_column(column, justify="left" if not column else "right")
    for name, found in result["contestants"].items():
        by_round, off = found["ours_over_it_by_round"], found["furthest_from_reference"]
        ratio = (
            f"{found['ours_over_it']:.2f} x ({min(by_round):.2f} to {max(by_round):.2f})" if name != "centime" else ""
        )
        table.add_row(
            name,
            f"{found['tokens_per_second']:,.0f}",
            f"{found['share_of_gemm_peak']:.0%}",
            ratio,
            f"{found['ready_seconds']:.1f} s",
            f"{found['peak_bytes'] / 1e9:.2f} GB",
            "" if off is None else f"{off:.4f}",
        )
    console.print(table)
    for peer, command in absent.items():
        console.print(f"{peer} is absent; to measure it beside: {command}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", choices=("256", "1024", "both"), default="both")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, of " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each contestant a round")
    parser.add_argument("--warm-up", type=int, default=3, help="steps after the first one that are not timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peers = [peer for peer in options.peers.split(",") if peer]
    if unknown := [peer for peer in peers if peer not in PEERS]:
        parser.error(f"there is no peer {unknown[0]!r}; expected some of {', '.join(PEERS)}")
    if options.precision == "auto":
        options.precision = "bf16" if native_bf16(torch.device("cpu")) else "fp32"
    console = Console()
    progress = Console(stderr=True)
    names, absent = available(peers)
    lengths = [256, 1024] if options.sequence == "both" else [int(options.sequence)]
    results = []
    for length in lengths:
        with progress.status(f"{length} tokens") as status:
            found = measure(
                length,
                names,
                options,
                lambda what, length=length: status.update(f"{length} tokens: {what}"),
            )
        results.append(found)
        if not options.json:
            show(console, found, absent, options.threads)
    if options.json:
        print(
            json.dumps({"torch": torch.__version__, "threads": options.threads, "absent": absent, "results": results})
        )


if __name__ == "__main__":
    main()
