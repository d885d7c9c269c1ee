"""Where a training step's time goes: self time of every operator in centime's step, grouped by what it is for.

usage: benchmarks/breakdown.py [--contestant centime] [--sequence 256] [--steps 6] [--threads 2] [--json]

torch.profiler counts each operator once, without those it calls; its own cost is a few per cent, so read shares, not
seconds. "outside operators" is Python, autograd's bookkeeping and waiting: the step's wall time less all operators.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from centime.ops.precision import native_bf16
from contestant import NAMES, build
from initial import write
from shapes import BATCH, batches

GROUPS = {  # first match wins; names as torch.profiler has them
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "_grouped_mm", "mkldnn_linear", "linear", "matmul", "dot"),
    "fused attention": ("_scaled_dot_product", "flash_attention"),
    "optimizer": ("_fused_adamw_",),
    "clip and norms of gradients": ("linalg_vector_norm", "_foreach_norm", "_foreach_mul_", "norm"),
    "softmax and losses": ("softmax", "nll_loss", "exp", "logsumexp"),
    "norms": ("rms_norm", "rsqrt", "mean", "pow"),
    "copies and casts": ("copy_", "_to_copy", "clone", "cat", "contiguous", "zero_", "fill_", "stack", "pad"),
    "gather and scatter": ("index", "gather", "scatter", "sort", "topk", "embedding", "bincount", "cumsum"),
    "other element-wise": ("",),
}


def group_of(operator: str) -> str:
    """The first group that has a word of the operator's name; every name fits the last."""
    name = operator.removeprefix("aten::").removeprefix("torchtitan::")
    for group, words in GROUPS.items():
        if any(name == word or (word not in ("mm", "dot", "norm", "mean", "exp") and word in name) for word in words):
            return group
    raise AssertionError(operator)


def profile(contestant: str, sequence: int, steps: int) -> dict[str, Any]:
    """Seconds a step by group, and the step's wall seconds without the profiler."""
    with tempfile.TemporaryDirectory(prefix="centime-bench-") as temporary:
        precision = "bf16" if native_bf16(torch.device("cpu")) else "fp32"
        step = build(contestant, write(Path(temporary)), sequence, precision)
        data = batches(sequence, BATCH[sequence])
        for _ in range(4):
            step(*next(data))
        began = time.perf_counter()
        for _ in range(steps):
            step(*next(data))
        plain = (time.perf_counter() - began) / steps
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            began = time.perf_counter()
            for _ in range(steps):
                step(*next(data))
            wall = (time.perf_counter() - began) / steps
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.key.startswith(("aten::", "torchtitan::")):
            seconds[group_of(event.key)] += event.self_cpu_time_total / 1e6 / steps
    seconds["outside operators"] = max(0.0, wall - sum(seconds.values()))
    return {"contestant": contestant, "sequence": sequence, "step_seconds": plain, "seconds": dict(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contestant", choices=[name for name in NAMES if name != "gemm"], default="centime")
    parser.add_argument("--sequence", type=int, choices=sorted(BATCH), default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    found = profile(options.contestant, options.sequence, options.steps)
    if options.json:
        print(json.dumps(found))
        return
    whole = sum(found["seconds"].values())
    table = Table(
        title=f"{found['contestant']}, {found['sequence']} tokens: {found['step_seconds'] * 1e3:.0f} ms a step"
    )
    table.add_column("")
    table.add_column("of the step", justify="right")
    for group, seconds in sorted(found["seconds"].items(), key=lambda item: -item[1]):
        table.add_row(group, f"{seconds / whole:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
