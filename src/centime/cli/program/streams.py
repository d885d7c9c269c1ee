"""Standard input, output and error as a program can rely on them, whatever the shell handed over.

A failure to write to standard output names it (`OSError.filename`), so that what ends the program can tell it from a
failure of a file. Standard error carries notes: one that cannot be written is dropped, and no work is lost for it.
Text that no encoding has a byte for is written as an escape, never a reason to stop.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any

from centime.errors import UserError

OUTPUT = "standard output"


def settle() -> None:
    """Puts such streams in place of sys.stdout and sys.stderr; what was closed is open (to nothing) afterwards.

    A file opened next would otherwise take the number 0, 1 or 2, and what a library prints would go into it.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for _ in closed:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    if sys.stdout is sys.__stdout__:  # else somebody who calls us has put his own there
        sys.stdout = _text((_Closed if 1 in closed else _Output)(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Notes(2, "w", closefd=False), sys.stderr)


def flush() -> None:
    """Everything printed leaves the process. Raises OSError, its filename OUTPUT, when some of it ever could not."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    raw = buffer.raw if isinstance(buffer, io.BufferedWriter) else None
    if isinstance(raw, _Output) and raw.failure is not None:
        raise raw.failure


def read_input(*, line: bool = False) -> str:
    """Standard input, all of it or its next line, as UTF-8 without a byte order mark; '' at its end.

    Raises UserError on other bytes: what a model is asked must be what a person wrote.
    """
    try:
        raw = sys.stdin.buffer.readline() if line else sys.stdin.buffer.read()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"standard input is not UTF-8 text (byte 0x{error.object[error.start]:02x} at offset {error.start}); "
            "expected UTF-8. Convert it first, from Latin-1 with `iconv -f LATIN1 -t UTF-8`."
        ) from error
    except OSError as error:
        raise UserError(f"standard input cannot be read ({error.strerror}); give a file or a pipe.") from error


class _Output(io.FileIO):
    """A failure is raised once and remembered; what comes after it is dropped, so that the end is not noisy."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                return self.put(data)
            except OSError as error:
                self.failure = OSError(error.errno, error.strerror, OUTPUT)
                raise self.failure from error
        return len(data)

    def put(self, data: Any) -> int:
        return super().write(data)


class _Closed(_Output):
    def put(self, data: Any) -> int:
        raise OSError(errno.EBADF, "it is closed", OUTPUT)


class _Notes(io.FileIO):
    """What cannot be written is dropped."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(data)


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    """`raw` with the encoding of the stream `before` it (None where that was closed), and its habit of a terminal."""
    encoding = before.encoding if before is not None else "utf-8"
    lines = raw.isatty() or raw.fileno() == 2
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=lines)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
