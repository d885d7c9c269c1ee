"""The verbs: each file here parses one verb's arguments, calls one function and prints. No logic lives here.

A verb's module is imported only when that verb runs, so `centime bill` never waits for torch.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from centime.errors import UserError, nearest

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
    "quickstart": "From nothing to a small trained model, its bill and its answers, offline, in minutes.",
}


# The verbs that use a device: their process is booked from its creation on (centime.ledger.life).
METERED = {"train", "serve", "generate", "chat", "data", "tokenizer", "evaluate", "quickstart", "calibrate"}


class LazyGroup(TyperGroup):
    """Imports <package>.<verb> when the verb is asked for, not before.

    The parser's own types are Any here: typer takes them from click or from a copy inside itself, by its version.
    """

    verbs = VERBS
    package = "centime.cli"
    path = "centime"  # what a person types before the verb

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.verbs:
            hint = nearest(cmd_name, self.verbs)
            raise UserError(f"{cmd_name!r} is not a verb of `{self.path}`.{hint} `{self.path} --help` lists them.")
        import importlib

        module = importlib.import_module(f"{self.package}.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One line a verb, without importing any of them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(self.verbs.items()))


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print centime's version and exit.")) -> None:
    """Train, serve and price DeepSeek-class language models, with the bill in view at every step."""
    if version:
        from centime import __version__

        typer.echo(f"centime {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point: a verb, from the creation of its process to its exit code."""
    warnings.formatwarning = lambda message, *_, **__: f"centime: {message}\n"  # a sentence, not a line of source
    # libgomp spins for milliseconds where threads wait for each other, and a small model's threads wait thousands of
    # times a second: with another program on the cores, training at the default was six times slower than at this
    # count, which on idle cores costs a few per cent.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if METERED.intersection(sys.argv[1:2]) and "--help" not in sys.argv:
        from centime.ledger import life

        life.begin(sys.argv[1])
        try:
            _run()
        except SystemExit as leaving:
            life.leave(leaving.code)
            raise
    else:
        _run()


def _run() -> None:
    """A UserError becomes one sentence on stderr and exit code 2."""
    try:
        app(prog_name="centime")
    except UserError as error:
        print(f"centime: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output (head, less) has left
        sys.stderr.close()
        sys.exit(141)
