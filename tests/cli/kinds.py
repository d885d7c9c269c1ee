"""The kinds of bad input, by what an argument means: role -> {kind: the value to give}.

`Kinds` makes what they name (pipes, links, files cut short) once, in a folder of its own beside the sandbox.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
WRONG = {"null": None, "text": "x", "number": -7, "huge": 1e300, "list": [], "object": {}, "true": True}

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
}


class Kinds:
    """Bad values for each role; `made` is where the files among them stand, `sandbox` where the right ones do."""

    def __init__(self, made: Path, sandbox: Path) -> None:
        self.made, self.sandbox = made, sandbox
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
        """Where nothing can be written."""
        return {
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
        made: dict[str, Callable[[], str]] = {name: lambda value=value: value for name, value in fixed.items()}
        if right.is_file():
            made |= {
                name: lambda name=name, damage=damage: str(self._damaged(right, name, damage))
                for name, damage in DAMAGES.items()
            }
            return made
        for member in sorted(path for path in right.rglob("*") if path.is_file()):
            inside = member.relative_to(right)
            for name, damage in {**DAMAGES, "pipe": None, "dangling": None, "unreadable": None, "gone": None}.items():
                made[f"{inside} {name}"] = lambda inside=inside, name=name, damage=damage: self._with(
                    right, inside, name, damage
                )
            if member.suffix == ".json" and member.name != "tokenizer.json":
                for key, wrong in _wrong(json.loads(member.read_text())):
                    text = json.dumps(wrong)
                    made[f"{inside} {key}"] = lambda inside=inside, key=key, text=text: self._with(
                        right, inside, key, lambda _: text.encode()
                    )
        return made

    def _damaged(self, right: Path, name: str, damage: Callable[[bytes], bytes]) -> Path:
        path = self.made / f"{name.replace(' ', '-')}-{right.name}"
        if not path.exists():
            path.write_bytes(damage(right.read_bytes()))
        return path

    def _with(self, right: Path, inside: Path, name: str, damage: Callable[[bytes], bytes] | None) -> str:
        """A copy of the folder `right` in which one file is spoilt."""
        copy = self.made / f"{right.name} {str(inside).replace('/', ' ')} {name}".replace(" ", "-")
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


# How the content of a file is spoilt.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    "not UTF-8": lambda content: content[: len(content) // 2] + b"\xff\xfe\xfa" + content[len(content) // 2 :],
    "NUL": lambda content: content[: len(content) // 2] + b"\0" * 8 + content[len(content) // 2 :],
    "zeros": lambda content: b"\0" * len(content),
    "nested": lambda _: b"[" * 10_000,
    "nested and closed": lambda _: b"[" * 10_000 + b"]" * 10_000,
    "other JSON": lambda _: b"[1, 2]",
    "noise": lambda _: bytes(range(256)) * 8,
}


def _wrong(tree: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(key=kind, the tree with that key's value of another type), for every key at every depth; and without the key."""
    found: list[tuple[str, dict[str, Any]]] = []
    for key, value in tree.items():
        found += [(f"{key}={name}", {**tree, key: other}) for name, other in WRONG.items() if other != value]
        found.append((f"no {key}", {name: other for name, other in tree.items() if name != key}))
        if isinstance(value, dict):
            found += [(f"{key}.{inner}", {**tree, key: changed}) for inner, changed in _wrong(value)]
    return found
