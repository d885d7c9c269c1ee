"""`centime plan rerun`: the same number again, or what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, Lang


def rerun(
    card: Annotated[Path, typer.Argument(help="A card (--card), or a plan's JSON output, which carries one.")],
    as_json: AsJson = False,
    lang: Lang = "en",
) -> None:
    """Compute a card's plan again: the same number (exit code 0), or what changed and by how much (exit code 1)."""
    from centime.plan.card import read_card
    from centime.plan.rerun import rerun as again

    done = again(read_card(card))
    if as_json:
        import json

        typer.echo(json.dumps(done.to_json(), indent=2))
    else:
        typer.echo("\n".join(done.lines(lang)))
    raise typer.Exit(0 if done.same else 1)
