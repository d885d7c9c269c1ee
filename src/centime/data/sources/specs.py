"""From what a person names (folders, files, globs, Hub datasets) to the list of files to read, in a fixed order."""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from centime.data.sources.left_out import ReadOptions, tally
from centime.data.sources.signature import SNIFF, foreign, refuse_foreign
from centime.data.sources.source_file import HUB, SourceFile, blocks, damage_named, kind_of
from centime.errors import UserError
from centime.input_files import open_pipe

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True)
class Sources:
    """What a person named to read, and how it is read."""

    specs: Sequence[str]
    """As `expand` takes them."""
    options: ReadOptions = field(default_factory=ReadOptions)
    exclude: Sequence[str] = ()
    """Globs of what is left out."""

    def files(self) -> tuple[list[SourceFile], list[str]]:
        """(files, notes), as `expand`."""
        return expand(self.specs, self.exclude)


def local_file(path: Path) -> SourceFile:
    """A file, a FIFO or the standard input of this machine. Raises UserError when it is not there or another thing."""
    if str(path) in STDIN:
        return _standard_input()
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({_why(error)}). Check the path.") from error
    if stat.S_ISFIFO(found.st_mode):
        return SourceFile(str(path), 0, "stream", None, partial(open_pipe, path, "a writer of text"))
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is {_what(found.st_mode)}; expected a file, a FIFO or '-' for the standard input.")
    kind, compression = kind_of(path.name)
    return SourceFile(str(path), found.st_size, kind, compression, partial(_open, path))


def _standard_input() -> SourceFile:
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("The standard input is a terminal; expected a pipe or a file: `zcat a.txt.gz | centime ... -`.")
    return SourceFile("standard input", 0, "stream", None, lambda: cast(BinaryIO, open(0, "rb", closefd=False)))


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, path.open("rb"))


def _why(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "its links lead in a circle"
    return error.strerror or str(error)


def _what(mode: int) -> str:
    kinds = {stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device", stat.S_IFIFO: "a FIFO"}
    return kinds.get(stat.S_IFMT(mode), "no file")


def expand(specs: Sequence[str], exclude: Sequence[str] = ()) -> tuple[list[SourceFile], list[str]]:
    """(files, notes): what the specs name, each file once, in the order of the specs and sorted within each.

    A spec is a file, a folder (searched whole), a glob ('src/**/*.py'), '-' (the standard input), or a dataset of the
    Hugging Face Hub: an id 'owner/name', or 'hf://datasets/owner/name[@revision][/glob of files]'. What is met in a
    folder or by a glob and is no readable file of text is left out, and the notes say how many of what. `exclude` are
    globs held against whole paths and names. Raises UserError on a spec that names nothing.
    """
    files: dict[str, SourceFile] = {}
    notes: list[str] = []
    for spec in specs:
        if not spec:  # of a shell's variable that is not set; a Path of it would be this very folder
            raise UserError("A source is an empty text; expected a file, a folder or a glob. Check the command.")
        path = Path(os.path.expanduser(spec))
        if spec.startswith(HUB) or (not _there(path) and _HUB_ID.fullmatch(spec) and not glob.has_magic(spec)):
            from centime.data.sources.hub import dataset_files

            found, note = dataset_files(spec)
            notes.append(note)
            found = [file for file in found if not _excluded(file.name, exclude)]
        elif spec in STDIN or (_there(path) and not os.path.isdir(path)):
            found = [] if _excluded(spec, exclude) else [_named(path)]
        else:
            left_out: Counter[str] = Counter()
            found = list(_met((p for p in _search(spec, path, left_out) if not _excluded(str(p), exclude)), left_out))
            if left_out:
                notes.append(f"{spec}: {tally(left_out)} left out")
        if not found:
            raise UserError(
                f"{spec} names no file to read; expected text, .jsonl or .json (also .gz, .zst, .bz2, .xz) or .parquet "
                "files"
                + (f" ({notes[-1]})" if notes and notes[-1].startswith(f"{spec}: ") else "")
                + ". Check the path"
                + (" and --exclude." if exclude else ".")
            )
        for file in found:
            files.setdefault(file.name, file)
    if not files:
        raise UserError("No sources: name files, folders, globs, '-' or a Hub dataset id such as owner/name.")
    return list(files.values()), notes


def local_paths(specs: Sequence[str], files: Sequence[SourceFile]) -> list[Path]:
    """What of this machine the specs and the files that they gave name; of the Hub's there is nothing here."""
    named = [Path(os.path.expanduser(spec)) for spec in specs] + [Path(file.name) for file in files]
    return [path for path in named if _there(path)]


def _there(path: Path) -> bool:
    """Whether something has this name, a link that leads nowhere too."""
    return os.path.lexists(path)


def _named(path: Path) -> SourceFile:
    file = local_file(path)
    if file.kind not in {"stream", "parquet"}:
        with damage_named(file):
            refuse_foreign(file.name, _head(file))
    return file


def _head(file: SourceFile) -> bytes:
    return next(blocks(file, SNIFF), (b"", 0))[0]


def _met(paths: Iterator[Path], left_out: Counter[str]) -> Iterator[SourceFile]:
    """The readable files of text, JSON or Parquet among them; the others are counted."""
    for path in paths:
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                left_out[f"{_what(mode).removeprefix('a ')}s"] += 1
                continue
            file = replace(local_file(path), met=True)
            if file.kind == "parquet":
                file.open().close()
                yield file
                continue
            head = _head(file) if file.compression is None else _compressed_head(file)
        except OSError as error:
            link = path.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)
            left_out["links that lead nowhere" if link else "unreadable files"] += 1
            continue
        if (what := foreign(head)) is not None:
            left_out[f"{what} files"] += 1
        else:
            yield file


def _compressed_head(file: SourceFile) -> bytes:
    """Empty for a file that is damaged: its reader says so, for a corpus must not become shorter silently."""
    file.open().close()
    try:
        with damage_named(file):
            return _head(file)
    except UserError:
        return b""


def _search(spec: str, path: Path, left_out: Counter[str]) -> Iterator[Path]:
    if os.path.isdir(path):
        yield from _walk(path, left_out)
    elif glob.has_magic(spec):
        yield from (p for p in map(Path, sorted(glob.glob(str(path), recursive=True))) if not os.path.isdir(p))
    else:
        raise UserError(
            f"{spec} does not exist; expected a file, a folder, a glob (quote it: '*.txt') or a Hub dataset id such as "
            "owner/name. Check the spelling."
        )


def _walk(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """What lies below a folder, sorted, hidden files and byte-compiled Python left out; links to folders counted."""

    def unreadable(_: OSError) -> None:
        left_out["unreadable folders"] += 1

    for root, folders, names in os.walk(folder, onerror=unreadable):
        shown = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        folders[:] = [name for name in shown if not os.path.islink(os.path.join(root, name))]
        left_out["links to folders"] += len(shown) - len(folders)
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(root) / name
    if not left_out["links to folders"]:
        del left_out["links to folders"]


def _excluded(name: str, exclude: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(os.path.basename(name), pattern) for pattern in exclude)
