"""`centime plan check`: the planner judged by published runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Html, Lang, emit


def check(
    file: Annotated[Path, typer.Argument(help="A CSV of runs, in the columns of docs/plan.md#check.")],
    kind: Annotated[str | None, typer.Option(help="train or serve; else as the columns say.")] = None,
    ranking: Annotated[
        bool, typer.Option("--ranking", help="Also rank the chips of serving rows, beside the planner's own ranking.")
    ] = False,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """Predict every row of a file of published runs, and say how far off."""
    from centime.plan.check.plan import check_file

    emit(check_file(file, kind, ranked=ranking), as_json=as_json, html=html, lang=lang, card=card)
