"""The text that every machine with Python already has: the source of its standard library."""

from __future__ import annotations

import sysconfig
import zlib
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError

# Left out: what is installed beside the library, its tests, and tables that are data rather than code.
NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__pycache__"}
HELD_OUT_ONE_IN = 16  # files
SMALLEST = 1_000_000  # bytes; below this the library is not there as text (a zip, or byte code alone)


@dataclass(frozen=True)
class Corpus:
    """Python files, each either to learn from or to be judged on. `train` and `held_out` are sorted."""

    root: Path
    train: list[Path]
    held_out: list[Path]

    @property
    def train_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.train)

    @property
    def held_out_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.held_out)


def standard_library(root: Path | None = None, *, most_held_out: int = 400_000) -> Corpus:
    """The standard library of the Python that runs this (or of `root`), split by file.

    A file is held out by a hash of its path inside the library, so the split is the same on every machine with the same
    library; at most `most_held_out` bytes are, and the others of that hash are left out altogether.
    Raises UserError when the library is not there as UTF-8 source files.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.rglob("*.py")) if not NOT_LIBRARY.intersection(path.relative_to(root).parts)]
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
    corpus = Corpus(root, train, held_out)
    if not held_out or corpus.train_bytes < SMALLEST:
        raise UserError(
            f"{root} holds {corpus.train_bytes:,} bytes of Python source, the quickstart needs {SMALLEST:,}: this Python "
            "came without its library's source. Install the full Python, or name a folder of text: centime quickstart --text DIR"
        )
    return corpus


def _is_text(path: Path) -> bool:
    """Whether the file is non-empty UTF-8; the library has a few files of older encodings."""
    try:
        return bool(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        return False
