"""Faults on standard error: what a client wrote may be part of a message, and must write no lines of its own there."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import Any


def report(error: BaseException, what: str) -> None:
    """Prints `what` and the traceback, indented, control characters escaped."""
    text = f"centime: {what}:\n{traced(error)}"
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more: no reason to end anything
        print(text, file=sys.stderr)


def traced(error: BaseException) -> str:
    """The exception and its traceback, no line of which can pass for one of the log's own."""
    return _indented("".join(traceback.format_exception(error)))


class Escaping(logging.Formatter):
    """Log records with the first line as it comes and all further ones indented, control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        first, *others = super().format(record).splitlines() or [""]
        return "\n".join([printable(first), *([_indented("\n".join(others))] if others else [])])


# For uvicorn: its own records, tracebacks of an app's failures among them, on standard error.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"escaping": {"()": Escaping, "format": "%(levelname)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "escaping"}},
    "loggers": {"uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}


def printable(text: str) -> str:
    """The text with every character escaped that a terminal would not show as a sign of its own."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.splitlines())
