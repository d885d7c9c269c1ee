"""Muon against AdamW on the mixture of versus_dense.py: each at its own best learning rate, over three seeds.

usage: benchmarks/muon_versus_adamw.py [--steps 800] [--folder build/versus_dense] [--threads 1] [--only NAME] [--json]

Same weights at the start, text, order of rows and schedule; the optimizer alone differs. Muon takes every matrix, the
stacked experts included, and leaves embedding, head, router and norms to AdamW.
1. Every optimizer is swept over the same rates with seed 0, on runs of the whole length.
2. At its best rate two more seeds are trained, and all ends compared: held-out loss, and the CPU time of a run.
3. From AdamW's ends at several lengths: the share of AdamW's steps after which Muon is as good.

Every finished run is kept in FOLDER/runs and never run again: stop and start it as you like.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from centime.recipe import Optimizer
from versus.account import best_lr, mean_ends, steps_to
from versus.arms import SEQUENCE, arms, prepare_text
from versus.run import BATCH, WARM_UP, fingerprint, train
from versus_dense import Results

OPTIMIZERS = {
    "adamw": Optimizer(),
    "muon": Optimizer(name="muon"),
    "muon, 5 steps": Optimizer(name="muon", muon_steps="5"),
}
RATES = (1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3)
SEEDS = (0, 1, 2)
ENDS = (0.4, 0.7, 1.0)  # lengths that get an end of their own, of the whole


class Comparison:
    """The runs, each made once."""

    def __init__(self, folder: Path, steps: int, say: Any) -> None:
        self.ends = [round(steps * share) for share in ENDS]
        self.arm, self.say = arms()["mixture"], say
        self.results = Results(folder / "runs")
        self.shards = prepare_text(folder)
        self.mark = fingerprint(arms(), self.shards)

    def run(self, name: str, lr: float, seed: int) -> dict[str, Any]:
        """A run of one optimizer, from the file if it is there."""
        settings = json.dumps(OPTIMIZERS[name].model_dump(), sort_keys=True)
        marked = name if name != "muon, 5 steps" else "muon-5"
        key = f"{self.mark} optimizer {marked} lr {lr:g} seed {seed} ends {','.join(map(str, self.ends))}"
        found = self.results.get(key)
        if found is None or found["settings"] != settings:
            made = train(
                self.arm, self.shards, lr, seed, self.ends, lambda what: self.say(f"{key}: {what}"), OPTIMIZERS[name]
            )
            found = self.results.keep(key, made | {"settings": settings})
        return found

    def outcome(self, name: str) -> dict[str, Any]:
        """One optimizer's sweep, and its runs of every seed at its best rate."""
        swept = [self.run(name, lr, SEEDS[0]) for lr in RATES]
        best, losses = best_lr(swept, self.ends[-1])
        runs = [self.run(name, best, seed) for seed in SEEDS]
        return {
            "sweep": losses,
            "lr": best,
            "ends": mean_ends(runs),
            "losses": [dict(run["ends"])[self.ends[-1]] for run in runs],
            "cpu_seconds": statistics.median(run["cpu_seconds"] for run in runs),
            "runs": [run["ends"] for run in runs],
        }


def summary(found: dict[str, dict[str, Any]], last: int) -> dict[str, Any]:
    """Adds what each optimizer saves against AdamW, by seed: steps to AdamW's final loss, loss at equal steps."""
    base = found["adamw"]
    for outcome in found.values():
        gains = [theirs - ours for theirs, ours in zip(base["losses"], outcome["losses"], strict=True)]
        reached = [
            steps_to(loss, [(steps, end) for steps, end in run])
            for loss, run in zip(base["losses"], outcome["runs"], strict=True)
        ]
        outcome["gain"] = statistics.fmean(gains)
        outcome["gains"] = gains
        outcome["step_ratios"] = [None if steps is None else steps / last for steps in reached]
    return {"steps": last, "tokens_per_step": BATCH * SEQUENCE, "optimizers": found}


def show(console: Console, made: dict[str, Any]) -> None:
    """The table, and every sweep in a line."""
    tokens = made["steps"] * made["tokens_per_step"]
    table = Table(title=f"{tokens / 1e6:.2f} M tokens, {BATCH} x {SEQUENCE} a step; held-out nats a token, three seeds")
    for column in ("", "best LR", "loss", "spread", "below AdamW", "steps to AdamW's loss", "CPU time of a run"):
        table.add_column(column, justify="left" if not column else "right")
    for name, outcome in made["optimizers"].items():
        _, mean, spread = outcome["ends"][-1]
        ratios = ", ".join("–" if ratio is None else f"{ratio:.2f}" for ratio in outcome["step_ratios"])
        table.add_row(
            name,
            f"{outcome['lr']:g}",
            f"{mean:.4f}",
            f"± {spread:.4f}",
            f"{outcome['gain']:+.4f}",
            ratios,
            f"{outcome['cpu_seconds']:.0f} s",
        )
    console.print(table)
    for name, outcome in made["optimizers"].items():
        console.print(f"{name}, loss by rate: " + ", ".join(f"{lr:g}: {loss:.3f}" for lr, loss in outcome["sweep"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--folder", type=Path, default=Path("build/versus_dense"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=OPTIMIZERS, help="make this one's runs alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.steps * ENDS[0] < 2 * WARM_UP:
        parser.error(f"--steps {options.steps} leaves the shortest run fewer than {2 * WARM_UP} steps; take more")
    torch.set_num_threads(options.threads)
    with Console(stderr=True).status("preparing the text") as status:
        comparison = Comparison(options.folder, options.steps, status.update)
        names = [options.only] if options.only else list(OPTIMIZERS)
        found = {name: comparison.outcome(name) for name in names}
    if options.only:
        return
    made = summary(found, comparison.ends[-1])
    if options.json:
        print(json.dumps(made))
    else:
        show(Console(), made)


if __name__ == "__main__":
    main()
