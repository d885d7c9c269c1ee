"""`centime tokenizer show`: what a tokenizer is, and what it does to a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from centime.units import plural


def show(
    folder: Annotated[Path, typer.Argument(help="A tokenizer or model folder.")],
    text: Annotated[str | None, typer.Argument(help="A text to cut into tokens.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a tokenizer is, and how it cuts a text."""
    from centime.data.tokenizers import load_tokenizer

    loaded = load_tokenizer(folder)
    ids = loaded.encode(text) if text is not None else []
    described = {
        "folder": str(folder),
        "vocab_size": loaded.vocab_size,
        "sha256": loaded.sha256,
        "bos": [loaded.bos_token, loaded.bos_id],
        "eos": [loaded.eos_token, loaded.eos_id],
        "chat_template": loaded.chat_template is not None,
        **({} if text is None else {"ids": ids, "tokens": [loaded.decode([i]) for i in ids]}),
    }
    if as_json:
        typer.echo(json.dumps(described, indent=2, ensure_ascii=False))
        return
    template = "with" if loaded.chat_template is not None else "without"
    typer.echo(
        f"{folder}: {loaded.vocab_size:,} ids, begin {loaded.bos_token} ({loaded.bos_id}), end {loaded.eos_token} "
        f"({loaded.eos_id}), {template} a chat template, {loaded.sha256[:12]}."
    )
    if text is not None:
        counts = f"{plural(len(ids), 'token')} for {plural(len(text.encode()), 'byte')}"
        typer.echo(f"{counts}: " + "|".join(loaded.decode([i]) for i in ids))
