"""Whether two paths are one place, however they are reached: by device and inode, not by how they are spelled.

Links, `..`, another case of letters on a disk that knows no case, and a folder mounted at a second place all lead to
the same inode.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

Place = tuple[int, int]
"""(device, inode)."""


def place(path: Path | str) -> Place | None:
    """(device, inode) of what a path leads to, links followed; None where nothing is there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def same_place(one: Path, other: Path) -> bool:
    """Whether both lead to one file or folder."""
    found = place(one)
    return found is not None and found == place(other)


def held_input(folder: Path, inputs: Iterable[Path]) -> Path | None:
    """The first of `inputs` that is `folder`, lies in it, or is in it under another name; None if none is."""
    inside = set(_places(folder))
    outside: set[Path] = set()  # known already: many inputs lie in one folder
    for path in inputs:
        if place(path) is None:
            continue
        for start in (Path(os.path.abspath(path)), Path(os.path.realpath(path))):
            for above in (start, *start.parents):
                if above in outside:
                    break
                if place(above) in inside:
                    return path
                outside.add(above)
    return None


def _places(folder: Path) -> Iterator[Place]:
    """The folder and all that is in it; links are not followed."""
    for root, folders, names in os.walk(folder):
        for path in (root, *(os.path.join(root, name) for name in (*folders, *names))):
            try:
                found = os.lstat(path)
            except OSError:
                continue
            yield found.st_dev, found.st_ino
