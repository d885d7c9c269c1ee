"""One contestant in its own process: builds its step, then runs as many as it is told, and reports in JSON lines.

usage: contestant.py NAME FOLDER SEQUENCE bf16|fp32

train.py starts it; it can be driven by hand: type {"steps": 4}.

Reads a request a line on standard input and answers each with a line on standard output; what libraries print goes to
standard error. The first answer comes unasked, after the first step.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("centime", "transformers", "torchtitan", "torchtitan-compiled", "reference", "gemm")
GEMM_SIZE = 2048


def build(name: str, folder: Path, sequence: int, precision: str) -> Any:
    """The step function of a contestant; heavy imports happen here, so that its start-up counts them."""
    if name == "centime":
        from ours import build as build_ours

        return build_ours(folder, sequence, precision)
    if name in ("transformers", "reference"):
        from peers.transformers_v3 import build as build_transformers

        return build_transformers(folder, sequence, "fp32" if name == "reference" else precision)
    if name in ("torchtitan", "torchtitan-compiled"):
        from peers.torchtitan_v3 import build as build_torchtitan

        return build_torchtitan(folder, sequence, precision, compiled=name.endswith("compiled"))
    raise SystemExit(f"no contestant is called {name!r}; there are {', '.join(NAMES)}")


def gemm_seconds(repeats: int, precision: str) -> list[float]:
    """Seconds of products of two 2048 x 2048 matrices in `precision`: what this machine's best GEMM reaches."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b, out = (torch.randn(GEMM_SIZE, GEMM_SIZE).to(dtype) for _ in range(3))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.matmul(a, b, out=out)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    name, folder, sequence, precision = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**found: Any) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        answers.write(json.dumps(found | {"peak_bytes": peak}) + "\n")

    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if name == "gemm":
        gemm_seconds(4, precision)
        answer(losses=[])
        for line in sys.stdin:
            answer(seconds=gemm_seconds(json.loads(line)["steps"], precision), losses=[])
        return

    from shapes import BATCH, batches

    step = build(name, folder, sequence, precision)
    data = batches(sequence, BATCH[sequence])
    answer(losses=[step(*next(data))])
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(json.loads(line)["steps"]):
            inputs, targets = next(data)
            start = time.perf_counter()
            losses.append(step(inputs, targets))
            seconds.append(time.perf_counter() - start)
        answer(seconds=seconds, losses=losses)


if __name__ == "__main__":
    main()
