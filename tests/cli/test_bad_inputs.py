"""Every verb, every argument, every kind of bad input: a right result, or a sentence and nothing created or changed."""

from __future__ import annotations

import json
import os
import random
import re

import pytest
from tests.cli.cells import Bench, cells, faults
from tests.cli.kinds import Kinds
from tests.cli.roles import RIGHT, role_of
from tests.cli.verbs import arguments, commands

DRAWN = int(os.environ.get("CENTIME_DRAWN", "60"))
VERBS = sorted(RIGHT)


def test_every_verb_has_a_right_command() -> None:
    assert {verb for verb, _ in commands()} == set(RIGHT)


def test_every_argument_has_a_role() -> None:
    assert [argument.key for argument in arguments() if role_of(argument.key) is None] == []


def ended_badly(bench: Bench, kinds: Kinds, chosen: list[str] | None, verb: str | None = None) -> list[str]:
    wrong = []
    for cell in cells(kinds):
        if (chosen is not None and cell.name not in chosen) or (verb is not None and cell.argument.verb != verb):
            continue
        if os.environ.get("CENTIME_SKIP") and re.search(os.environ["CENTIME_SKIP"], cell.name):
            continue
        done, changed, value = bench.run(cell)
        found = faults(cell, done, changed, value)
        log(cell.name, done, found)
        if found:
            last = (done.stderr.strip().splitlines() or [""])[-1][:400]
            wrong.append(f"{cell.name} ({value[:80]!r}): {'; '.join(found)}\n    {done.code} {last}")
    return wrong


def log(name: str, done: object, found: list[str]) -> None:
    if "CENTIME_CELLS" in os.environ:
        with open(os.environ["CENTIME_CELLS"], "a") as file:
            file.write(json.dumps([name, found, done.__dict__]) + "\n")


@pytest.mark.slow
def test_drawn_cells(bench: Bench, kinds: Kinds) -> None:
    names = [cell.name for cell in cells(kinds)]
    drawn = random.Random(int(os.environ.get("CENTIME_SEED", "0"))).sample(names, DRAWN)
    assert ended_badly(bench, kinds, drawn) == []


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_every_cell(bench: Bench, kinds: Kinds, verb: str) -> None:
    wrong = ended_badly(bench, kinds, None, verb)
    assert not wrong, "\n".join(wrong)
