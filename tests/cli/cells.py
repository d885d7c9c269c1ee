"""A cell: one argument of one verb with one bad value; and what must be true of how it ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.kinds import Kinds
from tests.cli.outcomes import must_be_refused
from tests.cli.process import SECONDS, Done, Zygote
from tests.cli.roles import ENGINE, command, role_of
from tests.cli.sandbox import snapshot
from tests.cli.verbs import Argument, arguments

GOES_ON = {"serve", "calibrate", "quickstart"}  # right arguments make these work on: they are stopped
GOES_ON_SECONDS = 6.0
WAITS = {"serve": "http://"}  # what says that it waits for requests
LONG_BUT_RIGHT = {"train recipe: train.no tokens"}  # of which there are two million by default
SAYS_MORE = {"data check", "quickstart"}  # part by part what is sound, or done, until one is not
LONGEST = 1000  # characters of a sentence, a path of ours and a list of choices included


@dataclass(frozen=True)
class Cell:
    """`argument` given `kind`; `value` makes it."""

    argument: Argument
    kind: str
    value: Callable[[], str]

    @property
    def name(self) -> str:
        return f"{self.argument.key}: {self.kind}"


def cells(kinds: Kinds) -> Iterator[Cell]:
    """Every argument crossed with every kind of its role."""
    for argument in arguments():
        role = role_of(argument.key)
        assert role is not None, f"say in tests/cli/roles.py what {argument.key!r} takes"
        for kind, value in kinds.of(role).items():
            yield Cell(argument, kind, value)


class Bench:
    """The sandbox in which cells run, put back whenever one has changed it. engine: the address of one to meter."""

    def __init__(self, sandbox: Path, zygote: Zygote, engine: str) -> None:
        self.sandbox, self.zygote, self.engine = sandbox, zygote, engine
        self.pristine = sandbox.with_name("pristine")
        shutil.copytree(sandbox, self.pristine, symlinks=True)
        self.before = snapshot(sandbox)

    def run(self, cell: Cell) -> tuple[Done, list[str], str]:
        """(how it ended, what it created or changed, the value)."""
        value = cell.value()
        name = cell.argument.flag or cell.argument.name
        words = command(cell.argument.verb, {name: value})
        done = self.go(cell.argument.verb, words)
        return done, self.restore(), value

    def go(self, verb: str, words: list[str], **around: Any) -> Done:
        """How `words`, a command of `verb`, ends in the sandbox; one that goes on is stopped. around: of Zygote.run."""
        words = [word.replace(ENGINE, self.engine) for word in words]
        seconds = GOES_ON_SECONDS if verb in GOES_ON else SECONDS
        return self.zygote.run(words, self.sandbox, seconds=seconds, waits=WAITS.get(verb, ""), **around)

    def restore(self) -> list[str]:
        """Puts the sandbox back as it was; what had been created or changed in it."""
        after = snapshot(self.sandbox)
        changed = sorted(name for name in {*self.before, *after} if self.before.get(name) != after.get(name))
        if changed:
            shutil.rmtree(self.sandbox)
            shutil.copytree(self.pristine, self.sandbox, symlinks=True)
            self.before = snapshot(self.sandbox)
        return changed + self.zygote.left_on_disks()


def faults(cell: Cell, done: Done, changed: list[str], value: str) -> list[str]:
    """What is wrong with how the cell ended; nothing for a right result or a sentence."""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    found = []
    if (done.late and cell.argument.verb in GOES_ON) or (done.code == -9 and cell.name in LONG_BUT_RIGHT):
        return []
    if done.late:
        found.append("it went on for too long")
    if "Traceback" in done.stderr + done.stdout:
        found.append("a traceback")
    if done.code == 0:
        if not cell.kind.startswith(("id=", "model=")) and any(
            word in done.stdout.lower().replace(",", " ").split() for word in ("nan", "inf", "-inf")
        ):
            found.append("a result with nan or inf")
        if must_be_refused(cell.argument.verb, role_of(cell.argument.key) or "", cell.kind):
            found.append("taken for right")
    elif done.code == 1 and cell.argument.verb == "plan rerun" and "Not the same" in done.stdout:
        pass  # the figures of a card that was changed
    elif done.code != 2:
        found.append(f"exit code {done.code}")
    else:
        if changed:
            found.append(f"refused, and yet it changed {changed[:4]}")
        if done.stdout and cell.argument.verb not in SAYS_MORE:
            found.append(f"refused, and yet it printed {done.stdout[:80]!r}")
        if len(said) != 1 or not said[0].startswith("centime: "):
            found.append(f"{len(said)} lines instead of a sentence")
        elif not _names(cell.argument, value, said[0]) and not _names_key(cell.kind, said[0]):
            found.append("the sentence does not name the argument")
        elif len(said[0]) > LONGEST:
            found.append(f"a sentence of {len(said[0])} characters")
    return found


def _names(argument: Argument, value: str, sentence: str) -> bool:
    """Whether the sentence says which argument: by its flag or name, or by the value (or the file in it) given."""
    words = {argument.flag, argument.flag.strip("-"), argument.name, argument.name.replace("_", "-")} - {""}
    if len(value) > 1:
        words |= {value[:100], Path(value).name[:100]}
    words.add(repr(value)[:100])
    return any(word in sentence for word in words if word)


def _names_key(kind: str, sentence: str) -> bool:
    """Whether the sentence names the key of the file that was spoilt or left out, or the text "x" that it was given."""
    key, given, wrong = kind.rpartition("=")
    spoilt = (key if given else kind).split()  # "steps=text", "config.json no layers", "no layers"
    if not given and "no" not in spoilt[:-1]:
        return False
    return spoilt[-1].rpartition(".")[2] in sentence or (wrong == "text" and " x " in sentence)
