"""The verbs: each file here parses one verb's arguments, calls one function and prints. No logic lives here.

A verb's module is imported only when that verb runs, so `centime bill` never waits for torch. Files whose name begins
with an underscore are what the verbs share: the parser, the streams, the ways to end.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import warnings
from typing import Any

# verb -> the line that `centime --help` shows; the module is centime.cli.<verb>, its typer app is `app`.
VERBS = {
    "train": "Train a model from a recipe: pretrain, context extension, sft; metered to the device-second.",
    "plan": "What it will cost to train and to serve: before a cent is spent, with intervals and sources.",
    "calibrate": "Measure this machine in under a minute, so that plans for it start from what it really does.",
    "bill": "What it really cost, in the shape of Table 1 of the DeepSeek-V3 report.",
    "serve": "A model folder as an HTTP server for OpenAI, DeepSeek and Anthropic clients; a price on every answer.",
    "keys": "API keys of a server: budgets, limits, prices.",
    "generate": "Complete a prompt with a model folder; the cost of the answer after it.",
    "chat": "Talk to a model folder; the cost of each answer after it.",
    "data": "Prepare text into token shards; check and describe them.",
    "tokenizer": "Train a tokenizer on your text.",
    "model": "Show what a model is and costs per token, without allocating a weight.",
    "export": "Write a model folder in another format (GGUF).",
    "evaluate": "Bits per byte of a model on held-out files, beside gzip and xz.",
    "doctor": "What works on this machine, what is missing, and the command that mends it.",
    "quickstart": "From nothing to a small trained model, its bill and its answers, offline, in minutes.",
}


# The verbs that use a device: their process is booked from its creation on (centime.ledger.life).
METERED = {"train", "serve", "generate", "chat", "data", "tokenizer", "evaluate", "quickstart", "calibrate"}


def __getattr__(name: str) -> Any:
    """The parser on first use: until it is needed, Ctrl-C finds little to interrupt."""
    if name in {"app", "LazyGroup"}:
        from centime.cli import _group

        return getattr(_group, name)
    raise AttributeError(f"module 'centime.cli' has no attribute {name!r}")


def main() -> None:
    """Entry point: a verb, from the creation of its process to its exit code."""
    try:
        code = _whole()
    except KeyboardInterrupt:  # while the first of our own modules were imported, or once more while we leave
        code = 130
    sys.exit(code)


def _whole() -> int:
    from centime.cli import _ending, _streams

    _streams.settle()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the end is near: a Ctrl-C now would only be noise
    warnings.formatwarning = lambda message, *_, **__: f"centime: {message}\n"  # a sentence, not a line of source
    # libgomp spins for milliseconds where threads wait for each other, and a small model's threads wait thousands of
    # times a second: with another program on the cores, training at the default was six times slower than at this
    # count, which on idle cores costs a few per cent.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    arguments = sys.argv[1:]
    metered = bool(METERED.intersection(arguments[:1])) and not {"-h", "--help"}.intersection(arguments)
    code = _ending.run(arguments, metered)
    try:
        _streams.flush()
    except OSError as error:
        if code == 0:
            code, sentence = _ending.ending(error, arguments)
            if sentence:
                print(f"centime: {sentence}", file=sys.stderr)
    if metered:
        from centime.ledger import life

        life.leave(code)
    return code
