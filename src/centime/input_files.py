"""Small files that a person names: read whole, or refused in a sentence; never waited for in vain, never without end.

A regular file, or a pipe that somebody writes to (`<(zcat runs.csv.gz)`, /dev/stdin); no folder, no device. All raise
UserError, naming the path and what was expected there.
"""

from __future__ import annotations

import codecs
import queue
import stat
import threading
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

from centime.errors import UserError

MOST_BYTES = 2**30  # of one file; tables, recipes and texts to evaluate are far below
WAIT_S = 5.0  # for the writer of a pipe to come: a shell starts it at the same moment


def read_input(path: Path, what: str = "a file") -> bytes:
    """Everything in the file or pipe at `path`. `what` says in the error what was expected: 'a CSV of runs'."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "a device"
            raise UserError(f"{path} is {found}; expected {what}.")
        with open_pipe(path, what) if stat.S_ISFIFO(mode) else path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({why}); expected {what}.") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path} holds more than {MOST_BYTES:,} bytes; expected {what}.")
    return content


def open_pipe(path: Path, what: str) -> BinaryIO:
    """A FIFO opened for reading, once somebody has opened it for writing; UserError when nobody does in WAIT_S.

    The system lets nobody wait for a while only: a thread of its own waits, and is left behind where it is in vain.
    """
    opened: queue.Queue[BinaryIO | OSError] = queue.Queue()

    def wait() -> None:
        try:
            opened.put(path.open("rb"))
        except OSError as error:
            opened.put(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        found = opened.get(timeout=WAIT_S)
    except queue.Empty:
        raise UserError(f"{path} is a pipe that nobody writes to; expected {what}.") from None
    if isinstance(found, OSError):
        raise found
    return found


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


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text; `where` names it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not TOML: {error}.") from None
    except RecursionError:
        raise UserError(f"{where} is nested too deeply to be read.") from None
    except ValueError as error:  # an integer of more than 4,300 digits, a day that no calendar has
        why = "a whole number in it has thousands of digits" if "digits" in str(error) else error
        raise UserError(f"{where} is not TOML: {why}.") from None
