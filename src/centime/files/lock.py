"""One writer a folder: a lock file that the kernel holds for a process, and frees however that process ends."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import socket
import stat
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from centime.errors import UserError
from centime.files.leftovers import NO_LOCKS, beside

INSIDE = ".centime-lock"  # in a folder that is written in place; one that is replaced is locked beside it
_READ_S = 0.2  # how long to wait for the holder to have written who it is
_LOOK_S = 0.02  # between two looks
_LONGEST = 4096  # bytes of a lock file
_OURS = re.compile(rb'\{"pid": |[\d\s\0]*\Z')  # as it is written here or was earlier, or nothing, as after a crash


class InUse(UserError):
    """Another process writes the folder."""


class FolderLock:
    """Holds lock file `file`, made if absent, from its construction to `close`: while it does, nobody else writes `of`.

    hint: what the one who is refused can do. patience: seconds to wait for the other one to end; by: who it is. Where
    the file system has no locks a sentence on stderr says so, and the writing goes on.

    Raises InUse, which names the holder, when another process (or this one) holds it, UserError when somebody else's
    file has its name, OSError where the file cannot be made.
    """

    def __init__(self, file: Path, of: Path, hint: str, *, patience: float = 0.0, by: str = "another process") -> None:
        self.file = file
        give_up = time.monotonic() + patience
        while True:
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                taken, there = self._take(of), self._has_its_name()
                if taken and there:
                    self._say_who()
                    break
                if there and time.monotonic() > give_up:
                    raise InUse(f"{of} is in use by {by} {self._holder()}; {hint}.")
            except BaseException:
                os.close(self._handle)
                raise
            os.close(self._handle)
            if not taken:
                time.sleep(_LOOK_S)
        self._pid = os.getpid()

    def close(self) -> None:
        """Lets others write. A child that was forked off meanwhile leaves the lock to its parent."""
        if self._handle < 0:
            return
        if os.getpid() == self._pid and self._has_its_name():
            with contextlib.suppress(OSError):
                self.file.unlink()
        os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, of: Path) -> bool:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(
                f"centime: the file system of {of} has no locks ({error.strerror}); see to it that nothing else "
                "writes there meanwhile.",
                file=sys.stderr,
                flush=True,
            )
        return True

    def _has_its_name(self) -> bool:
        """Whether the file that was opened still is the lock: the last holder may have removed it in between."""
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(self._handle), self.file.lstat())
        return False

    def _say_who(self) -> None:
        before = os.pread(self._handle, _LONGEST, 0)
        if not stat.S_ISREG(os.fstat(self._handle).st_mode) or not _OURS.match(before):
            raise UserError(f"{self.file} is not a lock that centime wrote; move it elsewhere, its name is needed.")
        since = datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        os.ftruncate(self._handle, 0)
        try:
            os.pwrite(self._handle, f"{text}\n".encode(), 0)
        except OSError:  # a full disk
            self.file.unlink()
            raise

    def _holder(self) -> str:
        """'(process id 7) on host since ...', as far as the lock file says."""
        known: dict[str, Any] = {}
        give_up = time.monotonic() + _READ_S
        while not (known := _read(os.pread(self._handle, _LONGEST, 0))) and time.monotonic() < give_up:
            time.sleep(_LOOK_S)
        where = f" on {known['host']}" if "host" in known else ""
        since = f" since {known['since']}" if "since" in known else ""
        return f"(process id {known.get('pid', 'unknown')}){where}{since}"


def _read(content: bytes) -> dict[str, Any]:
    """What a lock file says of its holder; older ones hold the process id alone."""
    try:
        known = json.loads(content)
    except ValueError:
        return {}
    return {"pid": known} if isinstance(known, int) else known if isinstance(known, dict) else {}


def lock_beside(final: Path, hint: str, of: Path | None = None) -> FolderLock:
    """The lock of a folder that is made as a whole: the file `.NAME.centime-lock` beside it. Raises as FolderLock.

    of: what a person calls the folder.
    """
    return FolderLock(beside(final, "centime-lock"), of or final, hint)
