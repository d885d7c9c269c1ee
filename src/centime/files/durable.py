"""Files that appear whole or not at all: written under another name beside their own, synced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from centime.files.leftovers import unfinished_file

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What writing says where a disk, a quota or the limit on a file's size has no room."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields the name to write to; on success that file becomes `path`, on any failure it goes.

    Through a link the file that it leads to is replaced, with its rights, and the link stays. Raises OSError.
    """
    final = Path(os.path.realpath(path))
    with unfinished_file(final) as temporary:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(final.stat().st_mode))
        sync(temporary)
        os.replace(temporary, final)
        sync(final.parent)


def write_text(path: Path, text: str) -> None:
    """`text` in UTF-8 as the file `path`, whole or not at all. Raises OSError."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def sync(path: Path) -> None:
    """Pushes a file's content, or a folder's names, to the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def made_folders(folder: Path) -> Iterator[None]:
    """Makes `folder` and those above it; what it made goes again where nothing came into it. Raises OSError."""
    made = []
    missing = folder
    while not missing.exists():
        made.append(missing)
        missing = missing.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()
