"""Generated chains of small steps, "7+5*3-2", whose last digit is asked: each step is easy, all at once is not.

Worked from left to right modulo 10, so that no step can be left out or moved: a small network cannot compute a long
chain in one pass, and can write it down step by step. Every sign and digit is a token of its own.

A chain belongs to the training or to the held-out half by a hash of its text, so that none of one is ever in the other,
whatever the seeds.
"""

from __future__ import annotations

import random
import zlib

from centime.recipe.rl_section import ProblemsSection
from centime.tune.problems.problem import Problem

HELD_OUT_ONE_IN = 10
FACTORS = (3, 7, 9)  # those that lose nothing: each digit has another product


class ChainProblems:
    """Chains of `easiest` to `hardest` steps, equally often."""

    def __init__(self, settings: ProblemsSection, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self.fingerprint = f"chains {settings.easiest} to {settings.hardest}, seed {seed}"

    def problem(self, number: int, progress: float) -> Problem:
        low, high = self._settings.easiest, self._settings.hardest
        if self._settings.curriculum:
            high = low + round((high - low) * min(1.0, progress / self._settings.curriculum))
        return _drawn(random.Random(f"chain {self._seed} {number}"), low, high, held_out=False)

    def held_out(self) -> list[Problem]:
        """As many of each length, as far as the count divides."""
        low, high = self._settings.easiest, self._settings.hardest
        lengths = [low + i % (high - low + 1) for i in range(self._settings.held_out_count)]
        return [_drawn(random.Random(f"held-out chain {i}"), k, k, held_out=True) for i, k in enumerate(lengths)]


def chain(draw: random.Random, steps: int) -> tuple[str, list[int]]:
    """A chain's text and its value after each step."""
    value = draw.randrange(10)
    text, values = [str(value)], list[int]()
    for _ in range(steps):
        sign = draw.choice("+-*")
        operand = draw.choice(FACTORS) if sign == "*" else draw.randrange(2, 10)
        value = (value * operand if sign == "*" else value + operand if sign == "+" else value - operand) % 10
        text += [sign, str(operand)]
        values.append(value)
    return "".join(text), values


def is_held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % HELD_OUT_ONE_IN == 0


def _drawn(draw: random.Random, low: int, high: int, *, held_out: bool) -> Problem:
    while True:
        steps = draw.randint(low, high)
        text, values = chain(draw, steps)
        if is_held_out(text) == held_out:
            return Problem(f"{text}:", str(values[-1]), {"values": values}, steps)
