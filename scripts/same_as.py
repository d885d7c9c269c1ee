"""Whether this checkout still says what another revision says: `make same-as REV=HEAD~5`.

    python scripts/same_as.py HEAD~5              # a hundred questions, a bill, cards, a small run and its answers
    python scripts/same_as.py HEAD~5 --quickstart # the losses of a whole quickstart too: ten minutes more

Both checkouts answer on this machine, with this Python and the same files, one after the other. What may differ (times
of day, hashes of code, measured seconds) is left out of the comparison; a number may differ in its last digits, where
a sum was taken in another order. Prints each answer that differs and where; exit code 1 if one does.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "scripts" / "same_as"
CLOSE = 1e-9  # relative: sums in another order
CODE = re.compile(r"hashes$|code$|^sha256$")  # keys of a card that change with every edit, and where a file moves
# Keys of what was run, not planned, that are of the machine or the moment.
MEASURED = re.compile(r"hash|second|_ns|hours|cost|version|created|time|tok_s|per_s|mfu|memory|model")
STAMPS = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*|\b[0-9a-f]{12,64}\b")
TEXT = "\n\n".join(
    f"What is {a} and {a * b % 17}? The answer is {a + a * b % 17}." for a in range(40) for b in range(20)
)
# Run inside each checkout: answers every question of a file in a process of its own, forked after the imports.
ANSWERING = """
import json, os, sys
import centime.cli
def ask(words):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1); os.dup2(write, 2); os.close(read)
        sys.argv = ["centime", *words]
        try:
            centime.cli.main(); code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    os.close(write)
    with os.fdopen(read, errors="replace") as stream:
        said = stream.read()
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said]
for line in open(sys.argv[1]):
    print(json.dumps([line.strip(), *ask(line.split())]), flush=True)
"""


class Checkout:
    """A source tree that is asked, in a folder of its own."""

    def __init__(self, tree: Path, work: Path) -> None:
        self.work = work
        work.mkdir()
        for path in HERE.iterdir():
            shutil.copy2(path, work / path.name)  # its time of writing too: a bill says how long a server has run
        (work / "text.txt").write_text(TEXT)
        home = {"CENTIME_HOME": str(work / "home"), "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
        self.environment = os.environ | home | {"COLUMNS": "120", "NO_COLOR": "1"}

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"{self.work.name}: {' '.join(arguments[:4])} ended with {done.returncode}:\n{done.stderr}"
            )
        return done.stdout.replace(str(self.work), "WORK")

    def answers(self) -> dict[str, Any]:
        """Question -> (exit code, what was said)."""
        found = (json.loads(line) for line in self.python("-c", ANSWERING, "questions.txt").splitlines())
        return {question: normal(code, said) for question, code, said in found}

    def run(self) -> dict[str, Any]:
        """What a small run learns, and what its model answers, alone and as a server in --deterministic."""
        self.python("-m", "centime", "tokenizer", "train", "text.txt", "--out", "tok", "--vocab-size", "320")
        prepare = ("data", "prepare", "text.txt", "--tokenizer", "tok", "--out", "data", "--separator", "\\n\\n")
        self.python("-m", "centime", *prepare, "--holdout", "0.2", "--workers", "1")
        self.python("-m", "centime", "train", "recipe.toml", "--out", "run")
        found: dict[str, Any] = {"metrics": metrics(self.work / "run" / "metrics.jsonl")}
        for prompt in ("The ", "What is "):
            asked = ("generate", "run", "--prompt", prompt, "--max-tokens", "24", "--seed", "3", "--json")
            found[f"answer to {prompt!r}"] = normal(0, self.python("-m", "centime", *asked), MEASURED)
        found["served"] = json.loads(self.python("serve.py", str(self.work / "run")))
        return found

    def quickstart(self) -> dict[str, Any]:
        """The losses of a whole quickstart."""
        self.python("-m", "centime", "quickstart", "--out", "quickstart")
        return {"quickstart": metrics(self.work / "quickstart" / "metrics.jsonl")}


def metrics(path: Path) -> list[Any]:
    """The lines of a run's metrics, without what was measured in time."""
    return [without(MEASURED, json.loads(line)) for line in path.read_text().splitlines()]


def normal(code: int, said: str, left_out: re.Pattern[str] = CODE) -> Any:
    """An answer without stamps of time and the keys left out: a tree where it is JSON, else its lines."""
    try:
        return [code, without(left_out, json.loads(said))]
    except ValueError:
        return [code, STAMPS.sub("...", said).splitlines()]


def without(left_out: re.Pattern[str], tree: Any) -> Any:
    """The tree without the keys in which the pattern is found."""
    if isinstance(tree, dict):
        return {key: without(left_out, value) for key, value in tree.items() if not left_out.search(key)}
    if isinstance(tree, list):
        return [without(left_out, value) for value in tree]
    return STAMPS.sub("...", tree) if isinstance(tree, str) else tree


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Each place where two trees differ by more than the last digits."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            if key in before and key in after:
                yield from differences(before[key], after[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}: {'gone' if key in before else 'new'}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{where}[{i}]")
    elif isinstance(before, list) and isinstance(after, list):
        lines = difflib.unified_diff(list(map(str, before)), list(map(str, after)), lineterm="", n=0)
        yield f"{where}: " + "\n    ".join(list(lines)[:12])
    elif isinstance(before, float) and isinstance(after, (int, float)):
        if not (math.isclose(before, after, rel_tol=CLOSE) or (math.isnan(before) and math.isnan(after))):
            yield f"{where}: {before!r} -> {after!r}"
    elif before != after:
        yield f"{where}: {str(before)[:200]!r} -> {str(after)[:200]!r}"


def git(*arguments: str) -> None:
    """Runs git here; it says itself what it does not like."""
    if subprocess.run(["git", *arguments], cwd=ROOT, check=False).returncode:
        raise SystemExit(2)


def main() -> int:
    """Asks both and prints what differs."""
    parser = argparse.ArgumentParser(description="Compare the answers of two revisions.")
    parser.add_argument("revision", help="what to compare this checkout with: HEAD~1, a tag, a commit")
    parser.add_argument("--quickstart", action="store_true", help="compare the losses of a whole quickstart too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work, tree = Path(name), Path(name) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), given.revision)
        try:
            checkouts = Checkout(tree, work / "before"), Checkout(ROOT, work / "after")
            with ThreadPoolExecutor() as both:
                before, after = both.map(lambda one: one.answers() | one.run(), checkouts)
            if given.quickstart:
                before, after = (old | one.quickstart() for old, one in zip((before, after), checkouts, strict=True))
        finally:
            git("worktree", "remove", "--force", str(tree))
    found = {question: list(differences(before[question], after.get(question))) for question in before}
    for question, differ in found.items():
        if differ:
            print(f"{question}\n    " + "\n    ".join(differ[:10]), flush=True)
    count = sum(map(bool, found.values()))
    print(f"{len(found)} answers, {count or 'none'} of which differ{'s' if count == 1 else ''} from {given.revision}.")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
