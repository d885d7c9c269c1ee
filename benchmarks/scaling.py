"""What a token costs as models grow: centime's presets from 2 M to 100 M parameters, two lengths of run for each.

usage: benchmarks/scaling.py [--depths 2,3,...] [--sequence 256] [--batch 8] [--steps 6] [--threads 2] [--json]

If cost is linear, seconds a token over FLOPs a token is one number for all models (its inverse is the MFU column), and
twice the tokens take twice the seconds. Both are fitted as powers, time ~ FLOPs^a and time ~ tokens^b: linear is 1.
The peak is this machine's own GEMM, measured before every model; products are bf16 where the processor has them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from centime.catalogue.presets import from_depth
from centime.model import Transformer
from centime.ops.precision import compute_dtype
from centime.plan.counts import count
from centime.recipe import Optimizer
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings
from contestant import GEMM_SIZE, gemm_seconds

WARM_UP = 2
DTYPE = compute_dtype("auto", torch.device("cpu"))
PRECISION = "bf16" if torch.bfloat16 == DTYPE else "fp32"


def step_seconds(depth: int, sequence: int, batch: int, steps: int) -> list[float]:
    """Seconds of `steps` whole training steps of the preset, on random tokens, with AdamW."""
    config = from_depth(depth)
    model = Transformer(config)
    model.init_weights(seed=0)
    trainer = Trainer(SingleDevice(model, Optimizer(), DTYPE), micro_batch=max(1, 4096 // sequence), clip=1.0)
    settings = StepSettings(lr=1e-4, mtp_weight=0.0, bias_speed=1e-3, balance_weight=1e-4)
    draw = torch.Generator().manual_seed(0)
    seconds = []
    for _ in range(WARM_UP + steps):
        rows = torch.randint(0, config.vocab_size, (batch, sequence + 1), generator=draw)
        start = time.perf_counter()
        trainer.step(Batch(rows, loss_tokens=batch * sequence, sequences=batch, tokens=batch * sequence), settings)
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def exponent(sizes: list[float], times: list[float]) -> float:
    """Least-squares slope of log time over log size."""
    x, y = [math.log(size) for size in sizes], [math.log(seconds) for seconds in times]
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def measure(depth: int, sequence: int, batch: int, steps: int) -> dict[str, Any]:
    """One row of the table: the preset at `batch` and at four times as many sequences a step."""
    counts = count(from_depth(depth), sequence)
    peak = 2 * GEMM_SIZE**3 / min(gemm_seconds(6, PRECISION))
    short, long = (statistics.median(step_seconds(depth, sequence, size, steps)) for size in (batch, 4 * batch))
    tokens = batch * sequence
    rate = 4 * tokens / long
    return {
        "depth": depth,
        "total_params": counts.total_params,
        "active_params": counts.active_matmul_params,
        "flops_per_token": counts.train_flops_per_token,
        "tokens_per_second": rate,
        "mfu": rate * counts.train_flops_per_token / peak,
        "gemm_flops_per_second": peak,
        "seconds_per_token": 1 / rate,
        "token_exponent": exponent([tokens, 4 * tokens], [short, long]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", default="2,3,4,5,6,7,8")
    parser.add_argument("--sequence", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="sequences a step of the shorter of the two")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for depth in map(int, options.depths.split(",")):
        with Console(stderr=True).status(f"depth {depth}"):
            rows.append(measure(depth, options.sequence, options.batch, options.steps))
    slope = None
    if len(rows) > 1:
        slope = exponent([row["flops_per_token"] for row in rows], [row["seconds_per_token"] for row in rows])
    if options.json:
        print(
            json.dumps({"threads": options.threads, "sequence": options.sequence, "rows": rows, "flop_exponent": slope})
        )
        return
    tokens = 4 * options.batch * options.sequence
    table = Table(
        title=f"{options.sequence} tokens a sequence, {tokens:,} a step, {options.threads} threads, {PRECISION}"
    )
    for column in ("", "parameters", "active", "MFLOP/token", "tokens/s", "MFU", "time ~ tokens^"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        table.add_row(
            f"centime-d{row['depth']}",
            f"{row['total_params'] / 1e6:.1f} M",
            f"{row['active_params'] / 1e6:.1f} M",
            f"{row['flops_per_token'] / 1e6:,.0f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['mfu']:.0%}",
            f"{row['token_exponent']:.2f}",
        )
    console = Console()
    console.print(table)
    if slope is not None:
        console.print(f"time a token ~ (FLOPs a token)^{slope:.2f}; 1 is linear, below it larger models run better.")


if __name__ == "__main__":
    main()
