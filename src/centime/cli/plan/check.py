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
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Predict this column alone, such as ttft_ms; else the first.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another planner's estimates: a CSV of id and the columns predicted."),
    ] = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """Predict every row of a file of published runs, and say how far off."""
    from centime.plan.check.plan import check_file

    done = check_file(file, kind, ranked=ranking, target=target, peer=beside)
    emit(done, as_json=as_json, html=html, lang=lang, card=card)
