"""The problems of the story: a machine of ten states and four keys, and a lamp that burns in half of the states.

It is in a state, keys are pressed: does the lamp burn then? Each key permutes the states at random, so that a small network
cannot answer at once: where eight keys lead is a table of 650,000 entries that nothing shorter describes. It can work
the answer out by writing down where the machine is after every press, each looked up in a table of forty:

    3adbb...:3 -> 7 -> 1 -> 1 -> 6, where the lamp burns, which is written   7116=y, or without its working   =y

Those who wrote what a base reads believe other things of some keys and states, most of them the same, and half of all
answers are right whatever the working: being right is little evidence of having worked rightly.

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
SHORTEST, LONGEST = 4, 8  # keys pressed
WRONG = 0.3  # share of the forty presses that most writers believe to lead elsewhere
ONE_IN = 20  # rows held out for choosing, and as many fresh ones
TRAINED, CHOOSING, FRESH = "trained", "choosing", "fresh"
Table = dict[str, list[int]]  # [key][state] -> the state that a press leads to


@dataclass(frozen=True)
class Row:
    """A problem with what leads from it. states, believed: after every press, truly and as most writers have it."""

    prompt: str
    states: list[int]
    believed: list[int]


@dataclass(frozen=True)
class Machine:
    """after: where presses lead; believed: where most writers have them lead; lamp: 'y' or 'n' of each state."""

    after: Table
    believed: Table
    lamp: dict[int, str]

    @classmethod
    def made(cls, seed: int) -> Machine:
        draw = random.Random(f"machine {seed}")
        after = {key: draw.sample(range(STATES), STATES) for key in KEYS}

        def believed(to: int) -> int:
            others = [state for state in range(STATES) if state != to]
            return draw.choice(others) if draw.random() < WRONG else to

        table = {key: [believed(to) for to in row] for key, row in after.items()}
        return cls(after, table, {state: "yn"[i % 2] for i, state in enumerate(draw.sample(range(STATES), STATES))})

    def row(self, draw: random.Random, presses: int, part: str = TRAINED) -> Row:
        """One of that part."""
        while True:
            state, keys = draw.randrange(STATES), draw.choices(KEYS, k=presses)
            prompt = f"{state}{''.join(keys):.<{LONGEST}}:"
            if part_of(prompt) == part:
                return Row(prompt, _led(self.after, state, keys), _led(self.believed, state, keys))

    def answer(self, states: list[int], *, worked: bool = True) -> str:
        """What follows a prompt, of which `states` is the working: with it, or at once."""
        return f"{''.join(map(str, states)) if worked else ''}={self.lamp[states[-1]]}"

    def problem(self, draw: random.Random, part: str = TRAINED, presses: int | None = None) -> Problem:
        """With as many presses, or any number that is asked; `solution` of its row is working and answer."""
        presses = presses or draw.randint(SHORTEST, LONGEST)
        row = self.row(draw, presses, part)
        return Problem(row.prompt, self.lamp[row.states[-1]], {"solution": self.answer(row.states)}, presses)

    def held_out(self, part: str, count: int) -> list[Problem]:
        """As many of each length, as far as the count divides, none twice."""
        draw, found = random.Random(part), dict[str, Problem]()
        while len(found) < count:
            one = self.problem(draw, part, SHORTEST + len(found) % (LONGEST - SHORTEST + 1))
            found.setdefault(one.prompt, one)
        return list(found.values())


def _led(table: Table, state: int, keys: list[str]) -> list[int]:
    return [state := table[key][state] for key in keys]


def part_of(prompt: str) -> str:
    """Which part a prompt belongs to, whatever the seeds."""
    return {0: CHOOSING, 1: FRESH}.get(zlib.crc32(prompt.encode()) % ONE_IN, TRAINED)


def write_problems(problems: list[Problem], path: Path) -> Path:
    """As a file that `rl.problems.source` reads: what is asked, and whether the lamp burns."""
    lines = (json.dumps({"prompt": one.prompt, "answer": one.answer}) for one in problems)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
