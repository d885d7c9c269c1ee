"""R1's story in small: a base that answers at once, reinforced until it works its problems out; and what else the same
money would have bought. Run by `make r1`, and by `make r1 SEEDS=3` for its table with intervals.

usage: python -m benchmarks.r1 [--out runs/r1] [--seeds 1] [--seed 0] [--steps 150] [--price '$0.10/h']

--seeds: how often it is told, with intervals, from --seed on. --steps: of the reinforcement, at most; it ends where
92 % of its held-out problems are right. What it took in seconds of the processor every other arm gets too, the student
a tenth. Ends with a table, and two pictures beside result.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from benchmarks.r1.base import make_tokenizer
from benchmarks.r1.picture import draw
from benchmarks.r1.story import tell
from benchmarks.r1.table import show
from rich.console import Console

from centime.catalogue.prices import price_for
from centime.errors import UserError
from centime.ledger.device import this_device

WIDE = 110  # letters of a line of the table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/r1"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--price", default=None)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # products as small as these gain nothing by a second one
    try:
        run(asked.out, range(asked.seed, asked.seed + asked.seeds), asked.steps, asked.price)
    except UserError as error:
        print(f"r1: {error}", file=sys.stderr)
        sys.exit(2)


def run(out: Path, seeds: range, steps: int, price: str | None) -> None:
    """The story, as often as there are seeds. Raises UserError where the folder is there already."""
    if out.exists():
        raise UserError(f"{out} is there already; give another folder with --out.")
    known = price_for(this_device(), price)
    tokenizer = make_tokenizer(out / "tokenizer")
    told = []
    for seed in seeds:
        (folder := out / f"seed-{seed}").mkdir()
        told.append(tell(folder, tokenizer, seed, steps, price, known))
        (out / "result.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    show(Console(highlight=False, width=WIDE), told, known)
    for path in draw([out / f"seed-{seed}" / "rl" for seed in seeds], out):
        print(path)


if __name__ == "__main__":
    main()
