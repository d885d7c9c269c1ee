"""Which folders centime wrote, and what in them it did not: the first may be replaced, the second never.

A folder that is written as a whole gets the file `.centime.json`, which says what wrote it, what kind it is, and every
file that was written. Folders of earlier versions have none; each kind says how it knows its own.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.json_files import read_object
from centime.version import version

MARK = ".centime.json"
_WRITER = "centime"


@dataclass(frozen=True)
class Kind:
    """A kind of folder. name: as a person calls it, 'a tokenizer'.

    earlier: which files of a folder without a mark are ours, as paths within it; empty where it is not sure that
    centime wrote the folder. It may raise UserError, OSError, ValueError, TypeError, which mean the same.
    keeps: which files beside ours, by name, the folder that replaces it has as well (a model's README).
    """

    name: str
    earlier: Callable[[Path], set[str]]
    keeps: Callable[[str], bool] = lambda _: False


def write_mark(folder: Path, kind: Kind, files: set[str]) -> None:
    """Marks `files`, paths within `folder`, as written by centime. Raises OSError."""
    mark = {
        "written_by": _WRITER,
        "version": version(),
        "kind": kind.name,
        "files": sorted(files | {MARK}),
    }
    (folder / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="ascii")


def written_in(folder: Path, kind: Kind) -> set[str] | None:
    """The files in `folder` that centime wrote, as paths within it; None where it is no folder of this kind of ours."""
    mark = _read(folder / MARK)
    if mark is not None:
        ours = mark.get("written_by") == _WRITER and mark.get("kind") == kind.name
        listed = mark.get("files")
        return {str(name) for name in listed} | {MARK} if ours and isinstance(listed, list) else None
    try:
        return kind.earlier(folder) or None
    except (OSError, ValueError, TypeError, AttributeError, UserError):
        return None


def foreign(folder: Path, ours: set[str], kind: Kind) -> str | None:
    """The first thing in `folder` that is no file among `ours`, none that its kind keeps, nor a folder of ours.

    None where there is none. A link or a pipe is not ours, whatever it is called. Raises OSError.
    """
    own_folders = {parent.as_posix() for name in ours for parent in Path(name).parents}
    for name in _entries(folder):
        mode = (folder / name).lstat().st_mode
        if stat.S_ISREG(mode) and (name in ours or kind.keeps(name)):
            continue
        if not (stat.S_ISDIR(mode) and name in own_folders):
            return name
    return None


def kept(folder: Path, kind: Kind) -> list[str]:
    """The files of `folder` that its kind keeps. Raises OSError."""
    return [name for name in files_in(folder) if name != MARK and kind.keeps(name)]


def files_in(folder: Path) -> list[str]:
    """Paths within `folder` of all files below it. Raises OSError."""
    return [name for name in _entries(folder) if not (folder / name).is_dir()]


def _entries(folder: Path) -> list[str]:
    """Paths within `folder` of all that is below it, sorted; a link is an entry and leads nowhere."""

    def fails(error: OSError) -> None:
        raise error  # a folder that cannot be read may hold anything

    found = []
    for root, folders, names in os.walk(folder, onerror=fails):
        found += [Path(root, name).relative_to(folder).as_posix() for name in (*folders, *names)]
    return sorted(found)


def _read(path: Path) -> dict[str, Any] | None:
    """What a mark says; None where there is none, an empty one where it cannot be read."""
    if not os.path.lexists(path):
        return None
    try:
        return read_object(path)
    except UserError:
        return {}
