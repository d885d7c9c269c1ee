"""`centime tokenizer`: train a tokenizer on your text, and look at what one does to a text."""

from __future__ import annotations

import typer

from centime.cli.program.group import LazyGroup


class TokenizerGroup(LazyGroup):
    """The sub-verbs of `centime tokenizer`."""

    verbs = {  # noqa: RUF012
        "train": "Train a byte-level BPE in DeepSeek-V3's form on SOURCES.",
        "show": "What a tokenizer is, and how it cuts a text.",
    }
    package = "centime.cli.tokenizer"
    path = "centime tokenizer"


app = typer.Typer(cls=TokenizerGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def tokenizer() -> None:
    """Train a tokenizer on your text."""
