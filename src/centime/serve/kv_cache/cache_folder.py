"""The disk tier's folder: one server's at a time, readable by its owner alone, with a secret that seals what is in it.

Nothing here is deleted but files whose names are ours, and links and folders never.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from centime.errors import UserError
from centime.files.lock import FolderLock
from centime.json_files import parse_json

LOCK, SECRET, DIGESTS = "lock", "secret", "digests.json"
SECRET_BYTES = 32
PATIENCE_S = 2.0  # a replica that takes a dead one's place may find it still dying
REMEMBERED = 16  # models whose digests are kept
_BLOCK = re.compile(r"[0-9a-f]{32}\.kv")
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.(\d+)\.tmp")
_REPLICA = re.compile(r"replica-\d+")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # neither links nor pipes are waited for


class CacheFolder:
    """Holds the lock of `path`, which is made if absent, until `close`. patience: seconds to wait for another's.

    Raises UserError when the folder cannot be used, or another server uses it, with that one's process id.
    """

    def __init__(self, path: Path, patience: float = 0.0) -> None:
        self.path = path
        made = not path.exists()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            hint = "give each server a folder of its own, or end that one"
            self._lock = FolderLock(path / LOCK, path, hint, patience=patience, by="another server")
            try:
                self._clean()
                self.secret = self._open_secret()
                self._tighten()
            except BaseException:
                self.close()
                raise
        except OSError as error:
            if made:
                shutil.rmtree(path, ignore_errors=True)
            raise _unusable(path, error) from None

    def close(self) -> None:
        """Lets another server have the folder."""
        self._lock.close()

    def blocks(self) -> list[tuple[str, int]]:
        """(name without suffix, bytes) of the files that hold blocks, least recently used first. Raises OSError."""
        found = []
        for entry in self._entries(_BLOCK):
            known = entry.stat(follow_symlinks=False)
            if known.st_mode & 0o077:
                os.chmod(entry.path, 0o600)
            found.append((known.st_mtime_ns, entry.name.removesuffix(".kv"), known.st_size))
        return [(name, size) for _, name, size in sorted(found)]

    def read(self, name: str, size: int) -> bytes:
        """The content of a block's file, marked as used now. Raises ValueError unless it has `size` bytes, OSError."""
        handle = os.open(self.path / f"{name}.kv", _READ)
        try:
            known = os.fstat(handle)
            if not stat.S_ISREG(known.st_mode) or known.st_size != size:
                raise ValueError(f"{known.st_size} bytes, where a block has {size}")
            os.utime(handle)
            with open(handle, "rb", closefd=False) as file:
                return file.read(size)
        finally:
            os.close(handle)

    def write(self, name: str, content: bytes) -> None:
        """A block's file, whole or not at all. Raises OSError."""
        self._replace(f"{name}.kv", self.path / f"{name}.{os.getpid()}.tmp", content)

    def drop(self, name: str) -> None:
        """Deletes a block's file, if it is there and a file."""
        with suppress(OSError):
            os.unlink(self.path / f"{name}.kv")

    def digest(self, mark: str | None, compute: Callable[[], str]) -> str:
        """What `compute` gives, remembered for the next start under `mark`; without a mark it is computed each time."""
        if mark is None:
            return compute()
        try:
            handle = os.open(self.path / DIGESTS, _READ)
            with open(handle, encoding="ascii") as file:
                known = {str(k): str(value) for k, value in parse_json(file.read(), str(file.name)).items()}
        except (OSError, ValueError, AttributeError, UserError):
            known = {}
        if mark not in known:
            known = dict([*known.items()][-REMEMBERED + 1 :]) | {mark: compute()}
            with suppress(OSError):
                self._replace(DIGESTS, self.path / f"{DIGESTS}.tmp", json.dumps(known, indent=1).encode())
        return known[mark]

    def _tighten(self) -> None:
        """Closes the folder to others, unless it holds what is not ours: somebody's home stays as it is."""
        ours = {LOCK, SECRET, DIGESTS}
        mode = stat.S_IMODE(self.path.stat().st_mode)
        if mode & 0o077 and all(name in ours or _is_ours(name) for name in os.listdir(self.path)):
            os.chmod(self.path, mode & 0o700)

    def _clean(self) -> None:
        """Deletes what processes left that died while they wrote."""
        for entry in self._entries(_UNFINISHED):
            pid = int(entry.name.split(".")[1])
            if pid == os.getpid() or not psutil.pid_exists(pid):
                with suppress(OSError):
                    os.unlink(entry.path)

    def _open_secret(self) -> bytes:
        """The folder's secret; a new one where there is none, or one that others may know. Blocks go with the old.

        Raises UserError where the name is taken by a file of somebody else's: it is no secret, and there are no blocks.
        """
        path, content = self.path / SECRET, b""
        with suppress(OSError):
            handle = os.open(path, _READ)
            try:
                known = os.fstat(handle)
                content = os.read(handle, SECRET_BYTES + 1) if stat.S_ISREG(known.st_mode) else b""
            finally:
                os.close(handle)
            alone = known.st_uid == os.geteuid() and not known.st_mode & 0o077
            if alone and len(content) == SECRET_BYTES:
                return content
        blocks = self.blocks()
        if not blocks and len(content) != SECRET_BYTES and content.strip(b"\0"):
            raise UserError(f"{path} is not a file that centime wrote, and it needs the name; give another folder.")
        for name, _ in blocks:
            self.drop(name)
        with suppress(FileNotFoundError):
            os.unlink(self.path / DIGESTS)
        secret = secrets.token_bytes(SECRET_BYTES)
        self._replace(SECRET, self.path / f"{SECRET}.tmp", secret)
        return secret

    def _replace(self, name: str, unfinished: Path, content: bytes) -> None:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(unfinished, self.path / name)
        except OSError:
            with suppress(OSError):
                os.unlink(unfinished)
            raise

    def _entries(self, pattern: re.Pattern[str]) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.path) as entries:
            yield from [e for e in entries if pattern.fullmatch(e.name) and e.is_file(follow_symlinks=False)]


def _is_ours(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (_BLOCK, _UNFINISHED, _REPLICA))


def _unusable(path: Path, error: OSError) -> UserError:
    return UserError(f"the cache folder {path} cannot be used ({error}); give another one.")
