"""Files and folders that appear whole or not at all: written under another name beside their own, synced, then renamed.

A killed process leaves its unfinished one behind. The next process that writes the same file or folder removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

ABANDONED_S = 24 * 3600.0  # unchanged for so long, what another machine (or container) writes is given up


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields the name to write to; on success that file becomes `path`, on any failure it goes. Raises OSError."""
    temporary = unfinished(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unfinished(final: Path) -> Path:
    """The name beside `final` for this process to write under; what dead processes left under such names is removed."""
    mark = f".{final.name}.partial-"
    own = f"{mark}{socket.gethostname()}-"
    parent = final.absolute().parent
    with contextlib.suppress(OSError):
        with os.scandir(parent) as entries:
            left = [entry.name for entry in entries if entry.name.startswith(mark)]
        for name in left:
            process = name.removeprefix(own)
            here = name.startswith(own) and process.isdigit()
            if not _runs(int(process)) if here else _abandoned(parent / name):
                _remove(parent / name)
    return parent / f"{own}{os.getpid()}"


def recover_folder(final: Path) -> None:
    """Undoes what a process killed between the two renames of `replace_folder` left: the old folder comes back."""
    aside = _aside(final)
    if aside.is_dir():
        if final.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.rename(aside, final)


def replace_folder(temporary: Path, final: Path) -> None:
    """Renames over `final`; an old folder is moved aside first, for no system renames over one that holds files."""
    if final.is_dir() and any(final.iterdir()):
        aside = _aside(final)
        os.rename(final, aside)
        os.rename(temporary, final)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        os.rename(temporary, final)


def sync(path: Path) -> None:
    """Pushes a file or a folder to the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _aside(final: Path) -> Path:
    return final.absolute().with_name(f".{final.name}.aside")


def _runs(pid: int) -> bool:
    """Whether another process of that id lives: one of our own id was here before us."""
    import psutil

    return pid != os.getpid() and psutil.pid_exists(pid)


def _abandoned(path: Path) -> bool:
    newest = max(part.lstat().st_mtime for part in (path, *path.rglob("*")))
    return time.time() - newest > ABANDONED_S


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
