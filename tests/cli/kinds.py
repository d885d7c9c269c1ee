"""The kinds of bad input, by what an argument means: role -> {kind: the value to give}.

`Kinds` makes what they name (pipes, links, files cut short) once, in a folder of its own beside the sandbox.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from tests.cli.damages import DAMAGES, Damage, by_key
from tests.cli.zygote import DISKS

NUMBERS = {
    "nothing": "",
    "word": "many",
    "nan": "nan",
    "inf": "inf",
    "-inf": "-inf",
    "negative": "-1",
    "zero": "0",
    "1e30": "1e30",
    "2^64": str(2**64),
    "1e999": "1e999",
    "1e-320": "1e-320",
    "fullwidth": "１",
    "5000 digits": "9" * 5000,
}
UNITS = {"duration": "s", "money": "$", "quantity": "", "budget": "m"}
WORDS = {"nothing": "", "unknown": "no-such-thing", "number": "7", "comma": ",", "equals": "=", "long": "x" * 5000}
DATES = {
    "nothing": "",
    "word": "soon",
    "no such day": "2025-02-30",
    "year 0": "0000-01-01",
    "year 99999": "99999-01-01",
}

# role -> the file or folder of the sandbox that a right value of it names
WHERE = {
    "model": "model",
    "tokenizer": "tok",
    "data": "data",
    "recipe": "recipe.toml",
    "text": "text.txt",
    "card": "card.json",
    "runs": "runs.csv",
    "case": "case.toml",
    "scenario": "scenario.toml",
    "statement": "metrics.txt",
    "hardware": "hardware.csv",
    "trace": "trace.csv",
    "company": "company.toml",
}


class Kinds:
    """Bad values for each role; `made` is where the files among them stand, `sandbox` where the right ones do.

    disks: the folder with a disk that is full and one that is small; None where none could be mounted.
    """

    def __init__(self, made: Path, sandbox: Path, disks: Path | None) -> None:
        self.made, self.sandbox, self.disks = made, sandbox, disks
        self._copies: dict[tuple[Path, Path, str], Path] = {}
        made.mkdir()
        (made / "empty").write_bytes(b"")
        (made / "folder").mkdir()
        os.mkfifo(made / "pipe")
        (made / "dangling").symlink_to(made / "nowhere")
        (made / "loop").symlink_to(made / "loop")
        (made / "closed").mkdir(mode=0)
        (made / "read-only").mkdir()
        (made / "read-only").chmod(0o555)
        (made / "unreadable").write_text("x")
        (made / "unreadable").chmod(0)

        self.full = made / "full"  # a device of our own: as root, the real one could be replaced by a file
        try:
            os.mknod(self.full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        except PermissionError:  # nor could the real one be replaced
            self.full.symlink_to("/dev/full")

    def of(self, role: str) -> dict[str, Callable[[], str]]:
        """Kind -> a function that makes the value (some cost a copy of a folder)."""
        fixed: dict[str, str] = {}
        if role in ("whole", "real", "seed"):
            fixed = NUMBERS
        elif role in UNITS:
            sign = UNITS[role]
            fixed = {name: f"${value}" if sign == "$" else f"{value}{sign}" for name, value in NUMBERS.items()}
            fixed |= {"bare": "", "no unit": "7"} if sign else {"bare": ""}
        elif role == "word":
            fixed = WORDS
        elif role == "date":
            fixed = DATES
        elif role == "free":
            fixed = {"nothing": "", "long": "x" * 5000, "NUL-like": "\\0", "newline": "a\nb", "escape": "\x1b[31m"}
        elif role == "run":
            fixed = {"nothing": "", "unknown": "no-such-run", "long": "x" * 5000}
        elif role == "out file":
            fixed = self._places() | {"a folder": str(self.made / "folder"), "full": str(self.full)}
        elif role == "out folder":
            fixed = self._places() | {"a file": str(self.made / "empty"), "not empty": "texts"}
        made: dict[str, Callable[[], str]] = {name: lambda value=value: value for name, value in fixed.items()}
        if role in WHERE:
            made |= self._read(role)
        return made

    def _places(self) -> dict[str, str]:
        """Where nothing can be written, or not much."""
        disks = {} if self.disks is None else {f"{disk} disk": str(self.disks / disk / "new") for disk in DISKS}
        return disks | {
            "nothing": "",
            "under a file": str(self.made / "empty" / "new"),
            "read-only": str(self.made / "read-only" / "new"),
            "closed": str(self.made / "closed" / "new"),
            "pipe": str(self.made / "pipe"),
            "loop": str(self.made / "loop"),
            "long": str(self.made / ("x" * 300)),
        }

    def _read(self, role: str) -> dict[str, Callable[[], str]]:
        """What cannot be read as what the role is."""
        right = self.sandbox / WHERE[role]
        fixed = {
            "nothing": "",
            "missing": "no/such.thing",
            "a device": "/dev/zero",
            "under a file": str(self.made / "empty" / "x"),
            "long": "x" * 5000,
            **{
                name: str(self.made / name)
                for name in ("empty", "folder", "pipe", "dangling", "loop", "closed", "unreadable")
            },
        }
        if role == "model":
            fixed |= {"wrong size": "8B,layers=0", "sizes that contradict": "8B,layers=200,hidden=8192"}
        made: dict[str, Callable[[], str]] = {name: lambda value=value: value for name, value in fixed.items()}
        if right.is_file():
            damages = dict(DAMAGES)
            spoil = by_key(right.name)
            if spoil is not None:
                damages |= {key: lambda _, text=text: text for key, text in spoil(right.read_bytes())}
            return made | {
                name: lambda name=name, damage=damage: str(self._damaged(right, name, damage))
                for name, damage in damages.items()
            }
        for member in sorted(path for path in right.rglob("*") if path.is_file()):
            inside = member.relative_to(right)
            for name, damage in {**DAMAGES, "pipe": None, "dangling": None, "unreadable": None, "gone": None}.items():
                made[f"{inside} {name}"] = lambda inside=inside, name=name, damage=damage: self._with(
                    right, inside, name, damage
                )
            spoil = by_key(member.name)
            for key, text in spoil(member.read_bytes()) if spoil else ():
                made[f"{inside} {key}"] = lambda inside=inside, key=key, text=text: self._with(
                    right, inside, key, lambda _: text
                )
        return made

    def _damaged(self, right: Path, name: str, damage: Damage) -> Path:
        folder = self._copies.setdefault((right, right, name), self.made / f"file-{len(self._copies)}")
        folder.mkdir(exist_ok=True)
        path = folder / right.name
        if not path.exists():
            path.write_bytes(damage(right.read_bytes()))
        return path

    def _with(self, right: Path, inside: Path, name: str, damage: Damage | None) -> str:
        """A copy of the folder `right` in which one file is spoilt."""
        copy = self._copies.setdefault((right, inside, name), self.made / f"{right.name}-{len(self._copies)}")
        if copy.exists():
            return str(copy)
        shutil.copytree(right, copy, copy_function=os.link)
        member = copy / inside
        content = member.read_bytes()
        member.unlink()
        if damage is not None:
            member.write_bytes(damage(content))
        elif name == "pipe":
            os.mkfifo(member)
        elif name == "dangling":
            member.symlink_to(self.made / "nowhere")
        elif name == "unreadable":
            member.write_bytes(content)
            member.chmod(0)
        return str(copy)
