"""The problems of the story: a machine of ten states and four keys. It is in a state, keys are pressed: where is it?

Each key permutes the states, at random. One press is looked up in a table of forty; where eight of them lead is another
table for every row of keys, 650,000 entries that nothing shorter describes. So a small network cannot answer at once,
and can work it out by writing down where it is after every press:

    3adbb....:3 -> 7 -> 1 -> 1 -> 6, which is written   7116=6, or without its working   =6

The prompt has a cell for every key that could be pressed. A row belongs to training, to choosing or to the fresh ones,
from which the figures come, by a hash of its text.
"""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import dataclass
from pathlib import Path

from centime.tune.problems import Problem

STATES, KEYS = 10, "abcd"
SHORTEST, LONGEST = 5, 10  # keys pressed
ONE_IN = 20  # rows held out for choosing, and as many fresh ones
TRAINED, CHOOSING, FRESH = "trained", "choosing", "fresh"


@dataclass(frozen=True)
class Machine:
    """after[key][state] is the state that a key leads to."""

    after: dict[str, list[int]]

    @classmethod
    def made(cls, seed: int) -> Machine:
        draw = random.Random(f"machine {seed}")
        return cls({key: draw.sample(range(STATES), STATES) for key in KEYS})

    def row(self, draw: random.Random, presses: int, part: str = TRAINED) -> tuple[str, list[int]]:
        """A prompt of that part, and the states that it leads through."""
        while True:
            state, keys = draw.randrange(STATES), draw.choices(KEYS, k=presses)
            prompt = f"{state}{''.join(keys):.<{LONGEST}}:"
            if part_of(prompt) == part:
                break
        states = [state := self.after[key][state] for key in keys]
        return prompt, states

    def problem(self, draw: random.Random, part: str = TRAINED, presses: int | None = None) -> Problem:
        """With as many presses, or any number that is asked."""
        presses = presses or draw.randint(SHORTEST, LONGEST)
        prompt, states = self.row(draw, presses, part)
        return Problem(prompt, str(states[-1]), steps=presses)

    def held_out(self, part: str, count: int) -> list[Problem]:
        """As many of each length, as far as the count divides, none twice."""
        draw, found = random.Random(part), dict[str, Problem]()
        while len(found) < count:
            one = self.problem(draw, part, SHORTEST + len(found) % (LONGEST - SHORTEST + 1))
            found.setdefault(one.prompt, one)
        return list(found.values())


def part_of(prompt: str) -> str:
    """Which part a prompt belongs to, whatever the seeds."""
    return {0: CHOOSING, 1: FRESH}.get(zlib.crc32(prompt.encode()) % ONE_IN, TRAINED)


def write_problems(problems: list[Problem], path: Path) -> Path:
    """As a file that `rl.problems.source` reads."""
    lines = (json.dumps({"prompt": one.prompt, "answer": one.answer}) for one in problems)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
