"""docs/architecture.md is true: what it names is there, and its ways through the house are ways of the imports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.verbs import commands
from tests.import_graph import SOURCE, import_graph

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "architecture.md").read_text()
WAYS = {
    title: re.findall(r"`([\w/]+\.py)`", text)
    for title, text in re.findall(r"^## (The way of .*?)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
}
ENTRY = {"The way of a chat request": "cli/serve.py"}  # the verb that starts the server; else the way's first file
MOST_FILES = 15
MOST_LINES = 300


def test_what_the_page_names_is_there() -> None:
    named = re.findall(r"`([\w/.]+/[\w/.]*)`", PAGE)
    assert len(named) > 40
    assert [path for path in named if not (SOURCE / path).exists() and not (SOURCE.parent.parent / path).exists()] == []


def test_there_are_three_ways() -> None:
    assert len(WAYS) == 3


@pytest.mark.parametrize("way", WAYS)
def test_a_way_is_short_and_enters_no_room_twice(way: str) -> None:
    assert len(WAYS[way]) <= MOST_FILES
    rooms = [path.rpartition("/")[0] for path in WAYS[way]]
    entered = [room for i, room in enumerate(rooms) if i == 0 or room != rooms[i - 1]]
    assert len(entered) == len(set(entered))


@pytest.mark.parametrize("way", WAYS)
def test_a_way_leads_from_its_verb_to_each_of_its_files(way: str) -> None:
    graph = import_graph()
    first = ENTRY.get(way, WAYS[way][0])
    reached, pending = set(), [dotted(first)]
    while pending:
        if (name := pending.pop()) not in reached:
            reached.add(name)
            pending += graph.get(name, set())
    assert [path for path in WAYS[way] if dotted(path) not in reached] == []


def dotted(path: str) -> str:
    """'plan.step.times' for plan/step/times.py, as the graph calls it."""
    return path.removesuffix(".py").replace("/", ".")


def test_tests_mirror_the_rooms_or_contributing_says_what_they_are() -> None:
    told = (TESTS.parent / "CONTRIBUTING.md").read_text()
    folders = {file.parent.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py")}
    assert sorted(one for one in folders if not (SOURCE / one).is_dir() and f"`{one}`" not in told) == []


def test_no_file_of_tests_is_long() -> None:
    lengths = {file.relative_to(TESTS).as_posix(): len(file.read_text().splitlines()) for file in TESTS.rglob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("page", ["README.md", "README.fr.md"])
def test_the_readme_lists_every_verb(page: str) -> None:
    listed = re.findall(r"^\| \[`centime (\w+)`\]", (TESTS.parent / page).read_text(), re.MULTILINE)
    assert sorted(listed) == sorted({verb.split()[0] for verb, _ in commands()})
