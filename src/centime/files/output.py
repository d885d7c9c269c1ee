"""One file that a person named to be written (`--html FILE`): over nothing but what centime wrote there before.

A command says which files are its own by looking into what is there. Links are followed, so that they stay; what is no
file (a folder, a pipe, a device) is refused, but for standard output, by whatever name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError
from centime.files.durable import FULL, made_folders, whole_file
from centime.files.places import place, same_place


@dataclass(frozen=True)
class Output:
    """A file to write. what: as a person calls it, 'a page'; mend: what else they can do, 'name another --html file'.

    ours: whether the file there is one that centime wrote; it may raise UserError, OSError, ValueError, which mean no.
    inputs: what the command reads. parents: whether the folders above are made.
    """

    path: Path
    what: str
    mend: str
    ours: Callable[[Path], bool]
    inputs: Iterable[Path] = ()
    parents: bool = False

    def require_writable(self) -> None:
        """Raises UserError where the file cannot be put; a verb says so before its work, not after it."""
        if self.is_stdout():
            return
        path, another = self.path, self.mend
        try:
            kind = path.stat().st_mode
        except FileNotFoundError:
            self._require_folder()
            return
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be written ({_reason(error)}); {another}.") from None
        if not stat.S_ISREG(kind):
            found = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
            raise UserError(f"{path} is {found}, where {self.what} is to be written; {another}.")
        if any(same_place(path, read) for read in self.inputs):
            raise UserError(f"{path} is read by this command and would be replaced; {another}.")
        if path.stat().st_size and not self._is_ours():
            raise UserError(
                f"{path} exists and is not {self.what} that centime wrote, so that it is not replaced; {another}."
            )

    @contextlib.contextmanager
    def written(self) -> Iterator[Path]:
        """Yields the name to write to; on success that becomes the file, on any failure nothing is left.

        Raises UserError where it cannot be written, the disk is full among it.
        """
        self.require_writable()
        if self.is_stdout():
            with tempfile.TemporaryDirectory() as folder:
                temporary = Path(folder, "output")
                yield temporary
                sys.stdout.flush()
                with temporary.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            return
        try:
            with contextlib.ExitStack() as stack:
                if self.parents:
                    stack.enter_context(made_folders(Path(os.path.realpath(self.path)).parent))
                yield stack.enter_context(whole_file(self.path))
                self.require_writable()  # what was there may have been exchanged meanwhile
        except OSError as error:
            if error.errno in FULL:
                raise UserError(
                    f"{self.path} cannot be written ({_reason(error)}); nothing of it was kept. Free some space, or "
                    f"{self.mend}."
                ) from error
            raise UserError(f"{self.path} cannot be written ({_reason(error)}); {self.mend}.") from error

    def write_text(self, text: str) -> None:
        """`text` in UTF-8 as the file. Raises UserError."""
        with self.written() as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")

    def is_stdout(self) -> bool:
        """Whether the file is standard output, under any name."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found = os.fstat(sys.stdout.fileno())
            return place(self.path) == (found.st_dev, found.st_ino)
        return False

    def _require_folder(self) -> None:
        """Raises UserError where the folder above cannot take it; a link that leads nowhere is where it leads."""
        above = Path(os.path.realpath(self.path)).parent
        while self.parents and not os.path.lexists(above):
            above = above.parent
        reason = None
        if not above.is_dir():
            reason = f"{above} is a file" if above.exists() else f"there is no folder {above}"
        elif not os.access(above, os.W_OK | os.X_OK):
            reason = f"nothing can be written in {above}"
        if reason is not None:
            raise UserError(f"{self.path} cannot be written ({reason}); {self.mend}.")

    def _is_ours(self) -> bool:
        try:
            return self.ours(self.path)
        except (UserError, OSError, ValueError):
            return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
