"""The verbs: each file here parses one verb's arguments, calls one function and prints. No logic lives here.

A verb's module is imported only when that verb runs, so `centime bill` never waits for torch. What the verbs share (the
parser, the streams, the ways to end) is in `program`.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import warnings
from typing import Any

from centime.cli.program.verbs import METERED, VERBS

__all__ = ["METERED", "VERBS", "main"]


def __getattr__(name: str) -> Any:
    """The parser on first use: until it is needed, Ctrl-C finds little to interrupt."""
    if name in {"app", "LazyGroup"}:
        from centime.cli.program import group

        return getattr(group, name)
    raise AttributeError(f"module 'centime.cli' has no attribute {name!r}")


def main() -> None:
    """Entry point: a verb, from the creation of its process to its exit code."""
    try:
        code = _whole()
    except KeyboardInterrupt:  # while the first of our own modules were imported, or once more while we leave
        code = 130
    sys.exit(code)


def _whole() -> int:
    from centime.cli.program import ending, streams

    streams.settle()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the end is near: a Ctrl-C now would only be noise
    warnings.formatwarning = lambda message, *_, **__: f"centime: {message}\n"  # a sentence, not a line of source
    # libgomp spins for milliseconds where threads wait for each other, and a small model's threads wait thousands of
    # times a second: with another program on the cores, training at the default was six times slower than at this
    # count, which on idle cores costs a few per cent.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    arguments = sys.argv[1:]
    metered = bool(METERED.intersection(arguments[:1])) and not {"-h", "--help"}.intersection(arguments)
    code = ending.run(arguments, metered)
    try:
        streams.flush()
    except OSError as error:
        if code == 0:
            code, sentence = ending.ending(error, arguments)
            if sentence:
                print(f"centime: {sentence}", file=sys.stderr)
    if metered:
        from centime.ledger import life

        life.leave(code)
    return code
