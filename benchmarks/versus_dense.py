"""The architecture's own promise: a mixture of experts with latent attention against a dense model, at equal FLOPs.

usage: benchmarks/versus_dense.py [--steps 2400] [--folder build/versus_dense] [--picture docs/img/versus_dense.svg]
                                  [--threads 1] [--arm dense|mixture] [--seed N] [--time] [--json]

Same text, tokenizer, order of rows, optimizer, schedule and code; a training token costs both the same (within 10 %).
1. Both are swept over the same five learning rates, on runs of SWEEP of the whole, seed 0.
2. At each one's best rate three seeds are trained: the dense model to --steps, the mixture to several ends on the way.
3. The answer is the FLOPs that the mixture spends to end at the dense model's final held-out loss, over the dense
   model's; and the same in seconds, with a step's time measured for both in turns (--time; on a quiet machine).

Every finished run is kept in FOLDER/runs and never run again: stop and start it as you like. Losses and FLOPs do not
depend on what else the machine does; only --time does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from versus.account import Run, best_lr, summary
from versus.arms import ARMS, SEQUENCE, Arm, arms, prepare_text
from versus.picture import draw
from versus.run import BATCH, WARM_UP, Learner, fingerprint, train

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 16e-3)
SEEDS = (0, 1, 2)
SWEEP = 0.25  # length of the sweep's runs, of the whole
ENDS = {"dense": (0.25, 0.5, 1.0), "mixture": (0.25, 0.4, 0.6, 1.0)}  # lengths that get an end of their own


class Results:
    """The finished runs, a file each, under a key that says all that a run depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / (key.replace(" ", "_") + ".json")

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under the key, if anything was."""
        path = self._path(key)
        return json.loads(path.read_text()) if path.exists() else None

    def keep(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        """Writes it, whole or not at all, and returns it."""
        temporary = self._path(key).with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(value) + "\n")
        os.replace(temporary, self._path(key))
        return value


class Experiment:
    """The runs that the comparison needs, in order, each made once."""

    def __init__(self, folder: Path, steps: int, say: Any) -> None:
        self.steps, self.say, self.arms = steps, say, arms()
        self.results = Results(folder / "runs")
        self.shards = prepare_text(folder)
        self.mark = fingerprint(self.arms, self.shards)

    def run(self, arm: Arm, lr: float, seed: int, ends: list[int]) -> Run:
        """The run, from the file if it is there."""
        key = f"{self.mark} {arm.name} lr {lr:g} seed {seed} ends {','.join(map(str, ends))}"
        if (found := self.results.get(key)) is not None:
            return found
        return self.results.keep(key, train(arm, self.shards, lr, seed, ends, lambda what: self.say(f"{key}: {what}")))

    def sweep(self, arm: Arm) -> tuple[float, list[tuple[float, float]]]:
        """The best of RATES on short runs, and the loss of each."""
        end = round(self.steps * SWEEP)
        return best_lr([self.run(arm, lr, 0, [end]) for lr in RATES], end)

    def seeds(self, arm: Arm, lr: float, seeds: Sequence[int] = SEEDS) -> list[Run]:
        """The arm's runs of every seed, with all their ends."""
        return [self.run(arm, lr, seed, [round(self.steps * share) for share in ENDS[arm.name]]) for seed in seeds]

    def seconds(self) -> dict[str, Any] | None:
        """A step's seconds by arm, if they were measured."""
        return self.results.get(f"{self.mark} seconds")

    def time_steps(self, threads: int, rounds: int = 8, steps: int = 4) -> None:
        """Median seconds of a step of each arm, in turns."""
        torch.set_num_threads(threads)
        learners = {name: Learner(arm, self.shards, 0) for name, arm in self.arms.items()}
        seconds: dict[str, list[float]] = {name: [] for name in learners}
        for turn in range(rounds + 1):
            for name, learner in learners.items():
                for number in range(steps):
                    began = time.perf_counter()
                    learner.step(turn * steps + number, 1e-3)
                    if turn:  # the first turn warms up
                        seconds[name].append(time.perf_counter() - began)
        found = {name: statistics.median(values) for name, values in seconds.items()}
        self.results.keep(f"{self.mark} seconds", found | {"threads": threads})


def show(console: Console, found: dict[str, Any], sweeps: dict[str, list[tuple[float, float]]]) -> None:
    """The tables and the answer in words."""
    table = Table(title=f"{found['dense_tokens'] / 1e6:.2f} M tokens, {SEQUENCE} a sequence, {BATCH} sequences a step")
    for column in ("", "parameters", "active", "MFLOP/token", "tokens/active", "KV bytes/token", "best LR"):
        table.add_column(column, justify="left" if not column else "right")
    for name, arm in found["arms"].items():
        table.add_row(
            name,
            f"{arm['total_params'] / 1e6:.2f} M",
            f"{arm['active_params'] / 1e6:.2f} M",
            f"{arm['flops_per_token'] / 1e6:.2f}",
            f"{arm['tokens_per_active_param']:.1f}",
            f"{arm['kv_bytes_per_token']:,}",
            f"{arm['lr']:g}",
        )
    console.print(table)
    for name, pairs in sweeps.items():
        console.print(f"{name}, loss by learning rate: " + ", ".join(f"{lr:g}: {loss:.3f}" for lr, loss in pairs))
    for name, arm in found["arms"].items():
        ends = ", ".join(f"{steps} steps {mean:.3f} ± {spread:.3f}" for steps, mean, spread in arm["ends"])
        console.print(f"{name}, three seeds at its best: {ends}")
    if found["flop_ratio"] is None:
        console.print(f"The mixture did not reach the dense model's final loss ({found['target_loss']:.3f}).")
        return
    by_seed = ", ".join(f"{ratio:.2f}" for ratio in found["flop_ratio_by_seed"])
    console.print(
        f"To the dense model's final loss, {found['target_loss']:.3f} nats a token, the mixture spends "
        f"{found['flop_ratio']:.3f} of its FLOPs (by seed: {by_seed})"
        + (f" and {found['time_ratio']:.3f} of its time." if "time_ratio" in found else "; its time: run --time.")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2400, help="of the dense model's whole run")
    parser.add_argument("--folder", type=Path, default=Path("build/versus_dense"))
    parser.add_argument("--picture", type=Path, default=Path("docs/img/versus_dense.svg"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arm", choices=ARMS, action="append", help="make the runs of this one alone, to share cores")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append", help="and of these seeds alone")
    parser.add_argument("--time", action="store_true", help="measure a step's time (again), after the runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.steps * min(min(shares) for shares in ENDS.values()) < 2 * WARM_UP:
        parser.error(f"--steps {options.steps} leaves the shortest run fewer than {2 * WARM_UP} steps; take more")
    torch.set_num_threads(options.threads)
    progress = Console(stderr=True)
    with progress.status("preparing the text") as status:
        experiment = Experiment(options.folder, options.steps, status.update)
        rates, sweeps, runs = {}, {}, {}
        wanted = options.arm or ARMS
        for name in wanted:
            rates[name], sweeps[name] = experiment.sweep(experiment.arms[name])
        for name in wanted:
            runs[name] = experiment.seeds(experiment.arms[name], rates[name], options.seed or SEEDS)
        if options.arm or options.seed:
            return
        if options.time:
            status.update("a step's time")
            experiment.time_steps(options.threads)
    found = summary(experiment.arms, runs, experiment.seconds())
    draw(experiment.arms, runs, found, options.picture)
    if options.json:
        print(json.dumps(found | {"sweeps": sweeps}))
    else:
        show(Console(), found, sweeps)


if __name__ == "__main__":
    main()
