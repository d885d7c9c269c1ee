"""R1's story in small: a base that answers at once, reinforced until it works its problems out; and what else the same
money would have bought. Run by `make r1`.

usage: python -m benchmarks.r1 [--out runs/r1] [--seconds 240] [--seed 0] [--steps 450] [--width 64] [--price '$0.10/h']

--seconds: of the reinforcement; every other arm gets what that cost, the student a tenth. Ends with a table; in the
report.html of the reinforcement length and accuracy are drawn over its steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.r1.arms import Arm, Marks, half, sft, star, student
from benchmarks.r1.base import HARDEST, make_base, make_tokenizer
from rich.console import Console
from rich.table import Table

from centime.catalogue.prices import price_for
from centime.errors import UserError
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
from centime.model.checkpoint import load
from centime.plan.counts import count
from centime.recipe.reinforcement import read_reinforcement
from centime.tune.run import reinforce

RECIPE = """
name = "r1"
[model]
from = "{base}"
[rl]
steps = 100000
prompts = 24
samples = 12
max_tokens = 24
lr = 2e-3
evaluate_every = 20
target = 0.97
[rl.problems]
source = "chains"
chat = false
easiest = 2
hardest = {hardest}
held_out_count = 210
[optimizer]
name = "muon"
muon_steps = "5"
[run]
precision = "fp32"
checkpoint_every = 100
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/r1"))
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--price", default=None)
    asked = parser.parse_args()
    try:
        story(asked)
    except UserError as error:
        print(f"r1: {error}", file=sys.stderr)
        sys.exit(2)


def story(asked: argparse.Namespace) -> None:
    out: Path = asked.out
    if out.exists():
        raise UserError(f"{out} is there already; give another folder with --out.")
    device = this_device()
    price = price_for(device, asked.price)
    console = Console(highlight=False, soft_wrap=True)
    tokenizer = make_tokenizer(out / "tokenizer")
    rows: list[tuple[str, Marks, float]] = []
    with Book() as book:

        def timed(run: str, stage: str) -> Meter:
            return Meter(book, run=out / run, verb="train", stage=stage, device=device, price=price)

        began = time.monotonic()
        with timed("base", "pretrain") as meter:
            base = make_base(out / "base", tokenizer, asked.seed, asked.steps, asked.width, meter)
        base_s = time.monotonic() - began
        recipe = out / "r1.toml"
        recipe.write_text(RECIPE.format(base=base, hardest=HARDEST), encoding="utf-8")
        settings = read_reinforcement(recipe).rl

        def arm() -> Arm:
            return Arm(load(base), tokenizer, settings, asked.seed)

        rows.append(("base", arm().marks(), base_s))
        began = time.monotonic()
        reinforce(
            recipe,
            [f"seed={asked.seed}"],
            out / "rl",
            resume=False,
            budget=f"{asked.seconds:.0f}s",
            price=asked.price,
        )
        spent = time.monotonic() - began
        taught = Arm(load(out / "rl" / "model"), tokenizer, settings, asked.seed)
        rows.append(("reinforced", taught.marks(), spent))
        for lr in (1e-3, 4e-3):
            with timed(f"sft-{lr:g}", "sft") as meter:
                rows.append((f"sft on answers, lr {lr:g}", sft(base, arm(), spent / 2, lr, meter), spent / 2))
        with timed("star", "sft") as meter:
            rows.append(("STaR, its own right answers", star(arm(), spent, 1e-3, meter), spent))
        small = Arm(half(asked.width, tokenizer, asked.seed), tokenizer, settings, asked.seed)
        with timed("student", "distill") as meter:
            found = student(out / "rl" / "model", small, spent / 10, asked.seed, meter)
        rows.append(("student of half the width", found, spent / 10))
    sizes = [count(one.model.config, 24).total_params for one in (taught, small)]
    an_hour = price.per_device_hour if price else None
    show(console, rows, an_hour, sizes)
    result = {name: vars(marks) | {"seconds": seconds} for name, marks, seconds in rows}
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(console: Console, rows: list[tuple[str, Marks, float]], an_hour: float | None, sizes: list[int]) -> None:
    """The table, in the shape of R1's own of costs."""
    table = Table("", "right", "with its form", "tokens an answer", "device time", "money", box=None, pad_edge=False)
    for name, marks, seconds in rows:
        money = "-" if an_hour is None else f"${seconds / 3600 * an_hour:.5f}"
        shares = f"{100 * marks.right:.1f} %", f"{100 * marks.formed:.1f} %"
        table.add_row(name, *shares, f"{marks.length:.1f}", f"{seconds:.0f} s", money)
    console.print(table)
    before, after = rows[0][1], rows[1][1]
    form = f"{100 * before.formed:.1f} to {100 * after.formed:.1f} %"
    of_formed = [100 * one.right / max(one.formed, 1e-9) for one in (before, after)]
    substance = f"{of_formed[0]:.1f} to {of_formed[1]:.1f} %"
    console.print(
        f"Format: {form} of answers state a result. Substance: of those {substance} are right. "
        f"Answers grew from {before.length:.1f} to {after.length:.1f} tokens. "
        f"The student has {sizes[1]:,} of {sizes[0]:,} parameters."
    )


if __name__ == "__main__":
    main()
