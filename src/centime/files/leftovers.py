"""Names for what is being written, beside its final one, and what killed writers left under such names.

A writer holds a lock on its unfinished file or folder, which the kernel takes back with the process. So whoever gets
that lock knows that nobody writes there any more. Where there are no locks, process id and age have to say it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

ABANDONED_S = 24 * 3600.0  # unchanged for so long, what another machine writes where there are no locks is given up
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""What flock says on file systems that have none, or none of this kind (NFS: on folders)."""
_LONGEST = 120  # bytes of a name that are kept in the names made from it: 255 are allowed in all
_LEFT = r"(?P<host>[^/]+?)-(?P<pid>\d+)(-[0-9a-f]{8})?"
_TRIES = 100  # names: each is lost only to another process that looks for leftovers at that very instant


def beside(final: Path, ending: str) -> Path:
    """The hidden name `.NAME.ending` in the folder of `final`, NAME shortened where a file system would not take it."""
    name = final.name
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{name[: _LONGEST // 4]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return final.absolute().with_name(f".{name}.{ending}")


@contextlib.contextmanager
def unfinished_file(final: Path) -> Iterator[Path]:
    """An empty file beside `final`, locked while the block runs; it goes at its end unless it was renamed."""
    yield from _unfinished(final, folder=False)


@contextlib.contextmanager
def unfinished_folder(final: Path) -> Iterator[Path]:
    """An empty folder beside `final`, locked while the block runs; it goes at its end unless it was renamed."""
    yield from _unfinished(final, folder=True)


def _unfinished(final: Path, *, folder: bool) -> Iterator[Path]:
    remove_leftovers(final)
    path, handle = _made(final, folder)
    try:
        yield path
    finally:
        if _is(path, handle):  # not renamed
            with contextlib.suppress(OSError):
                remove(path)
        os.close(handle)


def _made(final: Path, folder: bool) -> tuple[Path, int]:
    """A new path and the descriptor that holds its lock."""
    for _ in range(_TRIES):
        path = _name(final)
        if folder:
            path.mkdir()
            try:
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        else:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        locked = _lock(handle)
        if locked is not False and _is(path, handle):
            return path, handle
        os.close(handle)  # it was taken for a leftover between its making and its lock
    raise OSError(errno.EBUSY, "another process removes what is being written", str(final))


def remove_leftovers(final: Path) -> None:
    """Removes what killed writers of `final` left beside it; what a living one writes stays."""
    _remove_left(final.absolute().parent, re.escape(beside(final, "partial-").name))


def remove_all_leftovers(folder: Path) -> None:
    """Removes what killed writers of anything in `folder` left there; what a living one writes stays."""
    _remove_left(folder, r"\..+\.partial-")


def discard(folder: Path) -> None:
    """Renames a folder as a leftover, then deletes it: what a kill leaves the next writer clears. Raises OSError."""
    doomed = _name(folder)
    folder.rename(doomed)
    remove(doomed)


def _name(final: Path) -> Path:
    return beside(final, f"partial-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")


def _remove_left(folder: Path, mark: str) -> None:
    pattern = re.compile(f"{mark}{_LEFT}", re.DOTALL)
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            left = [found for entry in entries if (found := pattern.fullmatch(entry.name))]
        for found in left:
            with contextlib.suppress(OSError):
                if is_abandoned(folder / found[0], found["host"], int(found["pid"])):
                    remove(folder / found[0])


def is_abandoned(path: Path, host: str, pid: int) -> bool:
    """Whether nobody writes `path` any more, which process `pid` of `host` began. Raises OSError."""
    kind = path.lstat().st_mode
    if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
        return False
    handle = os.open(path, (os.O_RDONLY if stat.S_ISDIR(kind) else os.O_RDWR) | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        locked = _lock(handle)
    finally:
        os.close(handle)
    if locked is not None:
        return locked
    if host == socket.gethostname():
        return not _runs(pid)
    newest = max(part.lstat().st_mtime for part in (path, *path.rglob("*")))
    return time.time() - newest > ABANDONED_S


def remove(path: Path) -> None:
    """Deletes a file, or a folder with all that is in it; never through a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _lock(handle: int) -> bool | None:
    """Whether the lock was got at once; None where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def _is(path: Path, handle: int) -> bool:
    """Whether the name still stands for what was opened."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except OSError:
        return False


def _runs(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)
