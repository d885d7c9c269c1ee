"""`centime quickstart`: from nothing to a small trained model, its bill and its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder of the run; where there is one already, OUT-2 and so on.")] = Path(
        "runs/quickstart"
    ),
    budget: Annotated[
        str | None, typer.Option(help="A ceiling on the training: a time (2m), money ('$0.002') or tokens (1M-tokens).")
    ] = None,
    text: Annotated[Path | None, typer.Option(help="A folder of text to learn from instead.")] = None,
    price: Annotated[str | None, typer.Option(help="Per device-hour, such as '$0.08/h'; else the catalogue's.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON at the end (docs/quickstart.md names its keys).")
    ] = False,
) -> None:
    """Train a small model on Python's own library, and see what it can do and what it cost. Offline, in minutes."""
    from centime.quickstart.quickstart import quickstart as run

    code, made = run(out, budget, text, price, as_json=as_json)
    if as_json:
        import json

        typer.echo(json.dumps(made, indent=2))
    raise typer.Exit(code)
