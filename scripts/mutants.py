"""Whether the tests notice a wrong line: `make test-mutants ROOM=plan/step`.

    python scripts/mutants.py                         # eight mutants of every room: an hour or two on one core
    python scripts/mutants.py plan/step ledger        # of these rooms
    python scripts/mutants.py plan/step --seed 2 3    # eight others, and eight more
    python scripts/mutants.py plan/step --most 20     # at most 20 seconds of tests a mutant, the nearest first
    python scripts/mutants.py plan/step --quick       # without the tests marked slow

A room is a folder of src/centime with code of its own. Its tests (those in the folder of tests/ that mirrors it, or
what scripts/mutants.toml says) run once as they are, which tells how long each takes and which functions it calls.
Each mutant, one wrong edit of a copy of the checkout, then meets the tests that call the function it is in, and after
them the others, until one fails. Prints what was killed and the diff of what survived; exit code 1 where less than nine
in ten died, or where a room's tests fail as they are.

Mutants that no test can tell from the original stand in scripts/mutants.toml with a reason, and are not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import difflib
import importlib.metadata
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mutations
import psutil
import pytest
from room_tests import Forks, Ordered, Recorder, Tests

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("src", "tests", "scripts", "benchmarks", "docs", "recipes", "native", "deploy", ".ci")
GOAL = 0.9
PR_SET_CHILD_SUBREAPER = 36


class Checkout:
    """A copy of the checkout in which files are changed and tests run, each time in a process forked from this one."""

    def __init__(self, root: Path, marks: str) -> None:
        self.root, self.marks, self.clock = root, marks, int(time.time())
        for name in NEEDED:
            if (ROOT / name).exists():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ROOT.glob("[!.]*"):
            if file.is_file():
                shutil.copy(file, root)
        (root / ".venv").symlink_to(Path(sys.prefix))
        git = ["git", "-C", str(root), "-c", "user.name=mutants", "-c", "user.email=mutants@localhost"]
        for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "copy"]):  # runs say their revision
            subprocess.run([*git, *arguments], check=True)
        os.environ.setdefault("CENTIME_SHARED", str(ROOT.parent / "shared"))
        os.environ |= {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}

    @contextlib.contextmanager
    def holding(self, mutant: mutations.Mutation) -> Iterator[None]:
        file = self.root / "src" / "centime" / mutant.file
        before = file.read_bytes()
        try:
            self.write(file, mutant.apply(before))
            yield
        finally:
            self.write(file, before)

    def write(self, file: Path, text: bytes) -> None:
        """Each time at another second: by that and its length Python knows whether its bytecode is of this text."""
        file.write_bytes(text)
        self.clock += 1
        os.utime(file, (self.clock, self.clock))

    def noticed(self, names: list[str], limit: float) -> str:
        """Which of these tests, in this order, fails first; a run without an end is noticed too; else nothing."""
        said = self.run(sorted({name.partition("::")[0] for name in names}), Ordered(names), limit, "-x")
        return f"no end in {limit:.0f} s" if said is None else "".join(said["failed"][:1])

    def run(self, paths: list[str], plugin: Recorder | Ordered, limit: float, *more: str) -> dict[str, Any] | None:
        """What the plugin saw, from a process that ran these tests; None after `limit` seconds.

        A fifth of them may be the process's own on a core: a machine in use gives a test no more.
        """
        told, log = self.root / "told.json", self.root / "log.txt"
        told.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit / 5) + 1,) * 2)  # a loop without an end
            self.test(paths, plugin, told, log, more)
        end = time.monotonic() + limit
        while not ended(pid):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            time.sleep(0.05)
        for left in psutil.Process().children(recursive=True):  # servers that a broken test left
            with contextlib.suppress(psutil.Error):
                left.kill()
        if time.monotonic() > end:
            return None
        return json.loads(told.read_bytes()) if told.exists() else {"failed": ["the tests' process died"]}

    def test(self, paths: list[str], plugin: Recorder | Ordered, told: Path, log: Path, more: tuple[str, ...]) -> None:
        """Runs pytest in this process, which ends with it."""
        with log.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.setsid()
        os.chdir(self.root)
        sys.path[:0] = [str(self.root / "src"), str(self.root)]
        options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-m", self.marks, "--hypothesis-seed=0"]
        code = pytest.main([*options, *more, *paths], [plugin, Forks()])
        if isinstance(plugin, Recorder):
            told.write_text(json.dumps(asdict(plugin.tests)))
        else:
            told.write_text(json.dumps({"failed": plugin.failed or ([f"pytest ended with {code}"] if code else [])}))
        sys.stdout.flush()
        os._exit(0)


def ended(pid: int) -> bool:
    """Whether this child has ended. Buries the others that have, as the system's first process would: a test that ends
    a server waits until what the server left is gone too."""
    while (found := os.waitpid(-1, os.WNOHANG)[0]) not in (0, pid):
        pass
    return found == pid


def rooms() -> list[str]:
    """The folders of src/centime with code of their own."""
    source = ROOT / "src" / "centime"
    return sorted({str(file.parent.relative_to(source)) for file in source.rglob("*.py") if file.name != "__init__.py"})


def difference(mutant: mutations.Mutation, before: bytes) -> str:
    texts = [text.decode().splitlines() for text in (before, mutant.apply(before))]
    return "\n".join(f"    {line}" for line in list(difflib.unified_diff(*texts, lineterm="", n=1))[2:])


def judge(room: str, checkout: Checkout, asked: argparse.Namespace, known: dict[str, Any]) -> tuple[int, int] | None:
    """Tries a room's mutants and prints how each ended. Returns how many were killed, of how many; None where the tests
    fail before a line is changed."""
    source, root = checkout.root / "src" / "centime", checkout.root
    places = [root / path for path in known["tests"].get(room, [f"tests/{room}"])]
    tests_of = [sorted(place.glob("test_*.py")) if place.is_dir() else [place] for place in places]
    paths = [str(file.relative_to(root)) for some in tests_of for file in some]
    files = {str(file.relative_to(source)): file for file in sorted((source / room).glob("*.py"))}
    same = {one["change"] for one in known["equivalent"]}
    found = [one for name, file in files.items() for one in mutations.mutations(file, name) if one.name not in same]
    drawn = [one for seed in asked.seed for one in mutations.drawn(found, asked.number, f"{seed} {room}")]
    chosen = list(dict.fromkeys(drawn))
    seen = checkout.run(paths, Recorder(source), 3600) if paths else {"failed": ["none is there"]}
    if seen is None or seen["failed"]:
        log = root / "log.txt"
        wrong = "they take over an hour" if seen is None else ", ".join(seen["failed"])
        print(f"{room}: the tests fail as they are: {wrong}\n{log.read_text() if paths else ''}", flush=True)
        return None
    tests = Tests(**seen)
    if not tests.seconds:
        print(f"{room}: no test is left to run", flush=True)
        return None
    print(f"{room}: {len(tests.seconds)} tests, {sum(tests.seconds.values()):.0f} s", flush=True)
    killed = 0
    for mutant in chosen:
        by = ""
        with checkout.holding(mutant):
            for names in tests.waves(mutant, asked.most):
                if names and not by:
                    by = checkout.noticed(names, 10 * sum(tests.seconds[name] for name in names) + asked.slack)
        killed += bool(by)
        print(f"{room}: {f'killed by {by}' if by else 'SURVIVED'}: {mutant.name}", flush=True)
        if not by:
            print(difference(mutant, files[mutant.file].read_bytes()), flush=True)
    return killed, len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rooms", nargs="*", help="folders of src/centime; all where none is named")
    parser.add_argument("--number", type=int, default=8, help="mutants of a room")
    parser.add_argument("--seed", nargs="+", default=["1"], help="which are drawn; several draw as many each")
    parser.add_argument("--quick", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("--most", type=float, default=math.inf, help="seconds of a room's tests that a mutant meets")
    parser.add_argument("--slack", type=float, default=100, help="seconds that tests may take beyond ten times theirs")
    asked = parser.parse_args()
    if unknown := set(asked.rooms) - set(rooms()):
        parser.error(f"no room {', '.join(sorted(unknown))}; there are {', '.join(rooms())}")
    known = tomllib.loads((ROOT / "scripts" / "mutants.toml").read_text(encoding="utf-8"))
    plugins = [plugin.module for plugin in importlib.metadata.entry_points(group="pytest11")]
    for name in (*plugins, *known["libraries"]):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a test leaves behind becomes a child of this process
    table: dict[str, tuple[int, int]] = {}
    failing = []
    with tempfile.TemporaryDirectory(prefix="centime-mutants-") as folder:
        checkout = Checkout(Path(folder) / "centime", "not long and not slow" if asked.quick else "not long")
        for room in asked.rooms or rooms():
            begun = time.monotonic()
            if (row := judge(room, checkout, asked, known)) is None:
                failing.append(room)
                continue
            table[room] = row
            print("{:24}{:4} killed of {} in {:.0f} s".format(room, *row, time.monotonic() - begun), flush=True)
    print("\n" + "\n".join("{:24}{:4} of {}".format(room, *row) for room, row in table.items()))
    if failing:
        print(f"not tried, for their tests fail as they are, or there are none: {', '.join(failing)}")
    killed, number = (sum(row[at] for row in table.values()) for at in (0, 1))
    print(f"{'all':24}{killed:4} of {number}, {killed / max(number, 1):.0%}")
    sys.exit(bool(failing) or killed < GOAL * number)


if __name__ == "__main__":
    main()
