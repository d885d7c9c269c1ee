"""The text that every machine with Python already has: the source of its standard library."""

from __future__ import annotations

import sysconfig
import zlib
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from centime.errors import UserError

# Left out: what is installed beside the library, its tests, and tables that are data rather than code.
NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__pycache__"}
HELD_OUT_ONE_IN = 16  # files
SMALLEST = 1_000_000  # bytes; below this the library is not there as text (a zip, or byte code alone)


@dataclass(frozen=True)
class Corpus:
    """Text files, each either to learn from or to be judged on. `train` and `held_out` are sorted."""

    root: Path
    train: list[Path]
    held_out: list[Path]

    @property
    def train_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.train)

    def of_at_most(self, train_bytes: int) -> Corpus:
        """The same with the first of the files to learn from alone: so many bytes together at most, one at least."""
        ends = list(accumulate(path.stat().st_size for path in self.train))
        return replace(self, train=self.train[: max(1, bisect_right(ends, train_bytes))])

    @property
    def held_out_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.held_out)


def standard_library() -> Corpus:
    """The Python files of the standard library of the Python that runs this.

    Raises UserError when it is not there as source (a zip, or byte code alone).
    """
    return corpus(Path(sysconfig.get_path("stdlib")), "*.py")


def corpus(root: Path, pattern: str = "*", *, most_held_out: int = 400_000) -> Corpus:
    """The UTF-8 files below `root` whose names fit `pattern`, split by file.

    A file is held out by a hash of its path below `root`, so the split is the same on every machine with the same
    files; at most `most_held_out` bytes are, and the others of that hash are left out altogether.
    Raises UserError when there is too little text to learn from or to judge on.
    """
    if not root.is_dir():
        raise UserError(f"{root} is {'a file' if root.exists() else 'not there'}; expected a folder of text (--text).")
    files = [path for path in sorted(root.rglob(pattern)) if not NOT_LIBRARY.intersection(path.relative_to(root).parts)]
    train: list[Path] = []
    held_out: list[Path] = []
    left = most_held_out
    for path in files:
        if not _is_text(path):
            continue
        if zlib.crc32(path.relative_to(root).as_posix().encode()) % HELD_OUT_ONE_IN:
            train.append(path)
        elif path.stat().st_size <= left:
            held_out.append(path)
            left -= path.stat().st_size
    found = Corpus(root, train, held_out)
    if not held_out or found.train_bytes < SMALLEST:
        raise UserError(
            f"{root} holds {found.train_bytes:,} bytes of text in {len(train) + len(held_out)} files; the quickstart "
            f"needs {SMALLEST:,} bytes in a few dozen files. Name a folder that has them: centime quickstart --text DIR"
        )
    return found


def _is_text(path: Path) -> bool:
    """Whether it is a file of non-empty UTF-8; the library has a few of older encodings."""
    try:
        return path.is_file() and bool(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        return False
