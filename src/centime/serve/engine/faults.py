"""Faults on standard error: what a client wrote may be part of a message, and must not write lines of its own there."""

from __future__ import annotations

import sys
import traceback


def report(error: BaseException, what: str) -> None:
    """Prints `what` and the traceback, indented, control characters escaped."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    print("\n".join([f"centime: {what}:", *(f"    {printable(line)}" for line in lines)]), file=sys.stderr)


def printable(text: str) -> str:
    """The text with every character escaped that a terminal would not show as a sign of its own."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
