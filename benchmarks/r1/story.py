"""One seed of the story: base, reinforcement, what the same money buys otherwise, the student; each on the bill."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.r1.arms import online, sft, star, student
from benchmarks.r1.base import fresh_model, keep, make_base
from benchmarks.r1.bench import Bench, Clock
from benchmarks.r1.machine import CHOOSING, Machine, write_problems
from benchmarks.r1.marks import marks

from centime.catalogue.prices import Price
from centime.data.tokenizers import Tokenizer
from centime.ledger import Book, Meter
from centime.ledger.device import this_device
from centime.model import Transformer
from centime.model.checkpoint import load
from centime.plan.counts import count
from centime.recipe import Rl, read
from centime.train.run import train
from centime.tune.stage import every_kind

WIDTH, HALF = 64, 40  # of the base; of the student, which has half of its parameters
BASE_STEPS = 120
TRAINED_ROWS, CHOOSING_ROWS = 20_000, 120
SFT_LR, STAR_LR, ONLINE_LR, STUDENT_LR = 5e-3, 5e-3, 3e-3, 2e-2  # each the best of those that docs/log.md has tried
ROUNDS = 3
RECIPE = """
name = "r1"
[model]
from = "{base}"
[rl]
steps = {steps}
prompts = 12
samples = 12
max_tokens = 14
lr = 3e-3
evaluate_every = 10
target = 0.92
[rl.problems]
source = "{trained}"
held_out = "{choosing}"
chat = false
[optimizer]
name = "muon"
muon_steps = "5"
[run]
precision = "fp32"
micro_batch = 288
checkpoint_every = 50
"""


def tell(
    out: Path, tokenizer: Tokenizer, seed: int, steps: int, price: str | None, known: Price | None
) -> dict[str, Any]:
    """{arms: [{name, marks, seconds, parameters}]} of a seed, in the order that they are told in. steps: of the
    reinforcement, at most."""
    machine, rows = Machine.made(seed), list[dict[str, Any]]()
    base, taught = out / "base", out / "rl" / "model"

    def told(name: str, model: Transformer, seconds: float) -> None:
        found = marks(bench, model)
        parameters = count(model.config, 24).total_params
        rows.append({"name": name, "seconds": seconds, "parameters": parameters, "marks": vars(found)})
        print(f"seed {seed}, {name}: {100 * found.right:.1f} % right, after {seconds:.0f} s", flush=True)

    with Book() as book:

        def booked(run: str, stage: str, work: Callable[[Meter], Any]) -> tuple[Any, float]:
            clock = Clock()
            with Meter(book, run=out / run, verb="train", stage=stage, device=this_device(), price=known) as meter:
                return work(meter), clock.seconds

        model = fresh_model(WIDTH, tokenizer, seed)
        _, cost = booked("base", "pretrain", lambda m: make_base(model, machine, tokenizer, BASE_STEPS, seed, m))
        keep(model, base, tokenizer)
        recipe = _recipe(out, machine, seed, base, steps)
        ((_, settings),) = read(recipe).stages
        assert isinstance(settings, Rl)
        bench = Bench(base, machine, tokenizer, settings, seed)
        told("base", load(base), cost)
        clock = Clock()
        train(recipe, [f"seed={seed}"], out / "rl", resume=False, budget=None, price=price, kinds=every_kind())
        spent = clock.seconds
        teacher = load(taught)
        told("reinforced", teacher, spent)
        others: dict[str, Callable[[Meter], Transformer]] = {
            f"STaR, {ROUNDS} rounds": lambda m: star(bench, spent, STAR_LR, ROUNDS, m),
            "rejection sampling, one round": lambda m: star(bench, spent, STAR_LR, 1, m),
            "rejection sampling, every step": lambda m: online(bench, spent, ONLINE_LR, m),
            "sft on right answers": lambda m: sft(bench, spent, SFT_LR, m),
        }
        for name, work in others.items():
            found, cost = booked(name.replace(" ", "-").replace(",", ""), "sft", work)
            told(name, found, cost)
        small = fresh_model(HALF, tokenizer, seed)
        _, cost = booked("small-base", "pretrain", lambda m: make_base(small, machine, tokenizer, BASE_STEPS, seed, m))
        told("a base of half the size", small, cost)
        start = keep(small, out / "small-base", tokenizer)
        learned, cost = booked(
            "student", "distill", lambda m: student(bench, teacher, start, spent / 10, STUDENT_LR, m)
        )
        keep(learned, out / "student", tokenizer)
        told("its student", learned, cost)
    return {"seed": seed, "arms": rows}


def _recipe(out: Path, machine: Machine, seed: int, base: Path, steps: int) -> Path:
    draw = random.Random(f"rows {seed}")
    trained = [machine.problem(draw) for _ in range(TRAINED_ROWS)]
    files = {
        "base": base,
        "steps": steps,
        "trained": write_problems(trained, out / "trained.jsonl"),
        "choosing": write_problems(machine.held_out(CHOOSING, CHOOSING_ROWS), out / "choosing.jsonl"),
    }
    path = out / "r1.toml"
    path.write_text(RECIPE.format(**files), encoding="utf-8")
    return path
