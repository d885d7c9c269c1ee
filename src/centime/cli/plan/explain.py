"""`centime plan explain`: why two plans differ."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Html, Lang, emit

RUN = "An example (v3-h800, llama-405b-h100, ...), a card or TOML file, or 'model=...,gpu=...,gpus=...,tokens=...'."


def explain(
    a: Annotated[str, typer.Argument(help=RUN)],
    b: Annotated[str, typer.Argument(help="The run that is explained against A, in the same ways.")],
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """Why two training runs differ in cost: the ratio split into causes that multiply to the whole."""
    from centime.plan.explain.plan import explain as explained
    from centime.plan.training.case import case

    emit(explained(case(a), case(b)), as_json=as_json, html=html, lang=lang, card=card)
