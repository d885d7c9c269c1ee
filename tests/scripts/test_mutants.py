"""Mutants are drawn from the syntax tree, tried in a copy, and named with what noticed them, or with their diff."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
import mutations  # noqa: E402  (a script's own module, not a package)

SAMPLE = '''\
"""A sample: é before what is changed counts two bytes."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1

def price(tokens: int, rate: float = 2.5) -> float:
    """Not a line of code: 3."""
    assert tokens >= 0
    if tokens < 10 and rate:  # é
        raise ValueError(f"{tokens + 1} is too few")
    total = tokens * rate
    total += 1
    return total
'''


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    return tmp_path / "sample.py"


def test_what_may_go_wrong_in_a_file(sample: Path) -> None:
    found = mutations.mutations(sample, "a/sample.py")
    assert sorted((one.kind, one.before, one.after) for one in found) == sorted(
        [
            ("boundary moved", "tokens < 10", "tokens <= 10"),
            ("comparison flipped", "tokens < 10", "tokens >= 10"),
            ("condition negated", "tokens < 10 and rate", "(tokens < 10 or rate)"),
            ("condition negated", "tokens < 10 and rate", "not (tokens < 10 and rate)"),
            ("constant changed", "2.5", "5.0"),
            ("constant changed", "10", "11"),
            ("constant changed", "1", "2"),
            ("operator swapped", "tokens * rate", "tokens / rate"),
            ("operator swapped", "total += 1", "total -= 1"),
            ("return value dropped", "return total", "return None"),
            ("statement deleted", 'raise ValueError(f"{tokens + 1} is too few")', "pass"),
            ("statement deleted", "total += 1", "pass"),
        ]
    )
    assert {(one.function, one.first_line) for one in found} == {("price", 7)}


def test_of_a_zip_only_what_is_zipped_changes(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text("pairs = list(zip(a[1], b, strict=True))\nother = find(a, strict=True)\n")
    found = mutations.mutations(tmp_path / "sample.py", "sample.py")
    assert [(one.before, one.after) for one in found] == [("1", "2"), ("True", "False")]


def test_an_edit_changes_its_own_text_alone(sample: Path) -> None:
    text = sample.read_bytes()
    for one in mutations.mutations(sample, "sample.py"):
        changed = one.apply(text)
        ast.parse(changed)
        assert changed[: one.start] == text[: one.start]
        assert changed[one.start :].removeprefix(one.after.encode()) == text[one.end :]
        assert text[one.start : one.end].decode() == one.before


def test_the_draw_takes_each_kind_and_stays_when_lines_move(sample: Path) -> None:
    before = mutations.drawn(mutations.mutations(sample, "sample.py"), 6, "1 room")
    assert len({one.kind for one in before}) == 6
    assert before != mutations.drawn(mutations.mutations(sample, "sample.py"), 6, "2 room")
    sample.write_text("# a line more\n" + SAMPLE, encoding="utf-8")
    after = mutations.drawn(mutations.mutations(sample, "sample.py"), 6, "1 room")
    assert [one.name for one in after] == [one.name for one in before]


HOUSE = {
    "src/centime/__init__.py": "",
    "src/centime/room/sums.py": """
def add(a, b):
    return a + b


def wait(n):
    while n > 0:
        n = n - 1
    return n
""",
    "tests/room/test_sums.py": """
from centime.room.sums import add, wait


def test_add():
    assert add(2, 2) == 4


def test_wait():
    WAITING
""",
    "scripts/mutants.toml": """
libraries = []
[[equivalent]]
change = "room/sums.py wait: n > 0 -> not (n > 0)"
reason = "a second loop without an end would only take time"
[tests]
""",
    "Makefile": "",
}


def judged(folder: Path, waiting: str, word: str = "while") -> subprocess.CompletedProcess[str]:
    """The script run over a house of one room, whose second test is `waiting`; word: `if`, and nothing in it loops."""
    for name, text in HOUSE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("WAITING", waiting).replace("while", word))
    for script in ("mutants.py", "mutations.py", "room_tests.py"):
        shutil.copy(SCRIPTS / script, folder / "scripts")
    command = [sys.executable, folder / "scripts" / "mutants.py", "--number", "100", "--slack", "20"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_run_tells_what_noticed_each_mutant_and_shows_what_nothing_noticed(tmp_path: Path) -> None:
    done = judged(tmp_path, "wait(0)")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "room: killed by tests/room/test_sums.py::test_add: room/sums.py add: a + b -> a - b" in done.stdout
    assert "room: killed by the tests' process died" in done.stdout  # while n <= 0
    assert "room: SURVIVED: room/sums.py wait: return n -> return None\n" in done.stdout
    assert "    -    return n\n    +    return None\n" in done.stdout
    assert "n > 0 -> not (n > 0)" not in done.stdout
    assert (tmp_path / "src/centime/room/sums.py").read_text() == HOUSE["src/centime/room/sums.py"]


@pytest.mark.long
def test_a_house_whose_tests_notice_everything_passes(tmp_path: Path) -> None:
    done = judged(tmp_path, "assert [wait(n) for n in (3, 1, 0, -1)] == [2, 0, 0, -1]", "if")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100%" in done.stdout
