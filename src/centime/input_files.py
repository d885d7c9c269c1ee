"""Small files that a person names: read whole, or refused in a sentence; never waited for in vain, never without end.

A regular file, or a pipe that somebody writes to (`<(zcat runs.csv.gz)`, /dev/stdin); no folder, no device. All raise
UserError, naming the path and what was expected there.
"""

from __future__ import annotations

import codecs
import os
import stat
import time
import tomllib
from pathlib import Path
from typing import Any

from centime.errors import UserError

MOST_BYTES = 2**30  # of one file; tables, recipes and texts to evaluate are far below
WAIT_S = 5.0  # for the writer of a pipe to come: a shell starts it at the same moment
_PAUSE_S = 0.01


def read_input(path: Path, what: str = "a file") -> bytes:
    """Everything in the file or pipe at `path`. `what` says in the error what was expected: 'a CSV of runs'."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); expected {what}."
        ) from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISFIFO(mode):
            return _all_of(handle, path, what, pipe=True)
        if not stat.S_ISREG(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "a device"
            raise UserError(f"{path} is {found}; expected {what}.")
        return _all_of(handle, path, what, pipe=False)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); expected {what}.") from None
    finally:
        os.close(handle)


def read_text(path: Path, what: str = "a file of text") -> str:
    """The text of a file in UTF-8, without its byte order mark."""
    content = read_input(path, what)
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        also = " (UTF-16?)" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""
        raise UserError(f"{path} is not in UTF-8{also}, at byte {error.start:,}; save it as that.") from None
    if "\0" in text:
        raise UserError(f"{path} holds zero bytes, at character {text.index(chr(0)):,}: it is no text, or damaged.")
    return text


def read_toml(path: Path, what: str = "a TOML file") -> dict[str, Any]:
    """The tables of a TOML file."""
    return parse_toml(read_text(path, what), str(path))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text; `where` names it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not TOML: {error}.") from None
    except RecursionError:
        raise UserError(f"{where} is nested too deeply to be read.") from None
    except ValueError as error:  # an integer of more than 4,300 digits, a day that no calendar has
        raise UserError(f"{where} is not TOML: {error}.") from None


def _all_of(handle: int, path: Path, what: str, *, pipe: bool) -> bytes:
    """What there is to read. In a pipe, nothing at first means that its writer has not come yet."""
    parts: list[bytes] = []
    size, until = 0, time.monotonic() + WAIT_S
    writer = not pipe  # whether somebody was seen to write
    while True:
        try:
            part = os.read(handle, 2**20)
        except BlockingIOError:  # a writer is there and takes its time
            writer = True
            time.sleep(_PAUSE_S)
            continue
        if part:
            writer = True
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise UserError(f"{path} holds more than {MOST_BYTES:,} bytes; expected {what}.")
        elif writer:
            return b"".join(parts)
        elif time.monotonic() > until:
            raise UserError(f"{path} is a pipe that nobody writes to; expected {what}.")
        else:
            time.sleep(_PAUSE_S)
