"""What else the same money buys, from the same base: tuning on answers, rejection sampling, a student of half its size.

Each spends the processor seconds that it is given. What a model finds is trained on where its answer is right, whatever
its working: that is what rejection sampling knows.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.r1.base import Learner, Pair, ids
from benchmarks.r1.bench import Bench, Clock

from centime.ledger import Meter
from centime.model import Transformer
from centime.model.checkpoint import load

BATCH = 128  # pairs a step


def sft(bench: Bench, seconds: float, lr: float, meter: Meter) -> Transformer:
    """Fine-tuning on problems and their right answers, which is all that anybody wrote down."""
    model = load(bench.base)
    source = bench.problems("sft")
    asked = ((one.prompt, f"={one.answer}") for one in source)
    _teach(Learner(model, meter), lambda: [ids(bench.tokenizer, *next(asked)) for _ in range(BATCH)], lr, seconds)
    return model


def star(bench: Bench, seconds: float, lr: float, rounds: int, meter: Meter) -> Transformer:
    """Rejection sampling in rounds (STaR, arXiv 2203.14465, algorithm 1, without its hints): half of a round's seconds
    it answers, the other half the base, anew each time, is tuned on all that was right. One round is RFT (2308.01825).
    """
    model, source = load(bench.base), bench.problems("star")
    for number in range(rounds):
        sampler, clock, right, step = bench.sampler(model), Clock(), list[Pair](), 0
        while clock.seconds < seconds / rounds / 2:
            right += bench.found(sampler, source, number * 10_000 + step)
            step += 1
        model, draw = load(bench.base), random.Random(number)
        if right:
            _teach(Learner(model, meter), partial(draw.choices, right, k=BATCH), lr, seconds / rounds / 2)
    return model


def online(bench: Bench, seconds: float, lr: float, meter: Meter) -> Transformer:
    """Rejection sampling with an update after every step's answers (online RFT, arXiv 2402.03300, section 5.2.1)."""
    model, source, clock, step = load(bench.base), bench.problems("online"), Clock(), 0
    sampler, learner = bench.sampler(model), Learner(model, meter)
    while clock.seconds < seconds:
        if right := bench.found(sampler, source, step):
            learner.learn(right, lr * min(1.0, (step + 1) / 5))
        step += 1
    return model


def student(bench: Bench, teacher: Transformer, base: Path, seconds: float, lr: float, meter: Meter) -> Transformer:
    """Another base is tuned on what a teacher answers (R1, arXiv 2501.12948, section 2.4), which takes a third of the
    seconds."""
    model, sampler, source = load(base), bench.sampler(teacher), bench.problems("student")
    clock, right = Clock(), list[Pair]()
    while clock.seconds < seconds / 3:
        found = sampler.evaluate([next(source) for _ in range(256)])
        right += [
            (group.prompt, group.samples[0].tokens) for group in found.groups if group.samples[0].grade.right == 1
        ]
    draw = random.Random(bench.seed)
    if right:
        _teach(Learner(model, meter), partial(draw.choices, right, k=BATCH), lr, seconds * 2 / 3)
    return model


def _teach(learner: Learner, pairs: Callable[[], list[Pair]], lr: float, seconds: float) -> None:
    """Steps at a rate that falls linearly to a twentieth, as long as the seconds last."""
    clock = Clock()
    while (left := 1 - clock.seconds / seconds) > 0:
        learner.learn(pairs(), lr * max(0.05, left))
