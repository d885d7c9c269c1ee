"""A folder that appears whole or not at all: written under another name beside it, synced to disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from centime.errors import UserError
from centime.units import format_bytes
from centime.whole import recover_folder, replace_folder, sync, unfinished


def require_free(out: Path, *, overwrite: bool = False) -> None:
    """Raise UserError when `out` is a file, or a folder with something in it that may not be overwritten."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; expected the name of a folder to make. Choose another --out.")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UserError(f"{out} already exists and is not empty. Choose another --out, or add --overwrite.")


@contextlib.contextmanager
def atomic_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `out` to write into; on success it becomes `out`, on any failure it is removed.

    What a killed process left behind is removed by the next one that writes the same `out` on the same machine.
    Raises UserError when `out` exists and is not empty (unless `overwrite`), or the disk is full or not writable.
    """
    recover_folder(out)
    require_free(out, overwrite=overwrite)
    parent, temporary = out.absolute().parent, unfinished(out)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        replace_folder(temporary, out)
        sync(parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            written = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
            raise UserError(
                f"{parent} takes no more ({error.strerror}) after {format_bytes(written)}; nothing was kept. "
                "Free some space, or choose an --out on another disk."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"{parent} cannot be written ({error.strerror}). Choose another --out.") from error
        if not parent.is_dir():
            raise UserError(f"{parent} is no folder ({error.strerror}). Choose another --out.") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
