"""What all plans share on the command line: their options, and the one way out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from centime.errors import UserError

if TYPE_CHECKING:
    from centime.plan.verbs import Plan

MODEL = "A name of the catalogue or the Hub (owner/name), a folder with config.json, or sizes: 16B-A3B,layers=27."
Market = Annotated[
    str, typer.Option("--market", help="How the chips are rented: on-demand, reserved (for three years) or spot.")
]
PriceRegion = Annotated[
    str | None,
    typer.Option("--price-region", help="Where the chips are rented: us, europe, asia, ...; anywhere if left out."),
]
Currency = Annotated[
    str | None, typer.Option("--currency", help="Of the money: EUR, CNY or USD, at a dated exchange rate.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/plan.md names its keys).")]
Html = Annotated[
    Path | None, typer.Option("--html", help="Also write a page with charts to this file.", dir_okay=False)
]
Lang = Annotated[str, typer.Option("--lang", help="Language of the table and the page: en or fr.")]
CardFile = Annotated[
    Path | None,
    typer.Option(
        "--card", help="Also write the plan's card to this file: `centime plan rerun` takes it.", dir_okay=False
    ),
]


def emit(plan: Plan, *, as_json: bool, html: Path | None, lang: str, card: Path | None, markdown: bool = False) -> None:
    """Prints the plan (a table, Markdown, or JSON with its card), and writes the page and the card where asked."""
    from centime.plan.show.language import writer
    from centime.plan.verbs import sections, title

    writer(lang)  # an unknown language is said before anything is written, and so is a file that cannot be
    if as_json or html is not None or card is not None:
        made = _card(plan, html, card)
        if html is not None:
            from centime.plan.show.page import write_page

            write_page(html, title(plan, lang), sections(plan, lang), lang, made)
        if as_json:
            typer.echo(json.dumps({**plan.to_json(), "card": made}, indent=2))
            return
    if markdown:
        from centime.plan.show.markdown import markdown as written

        typer.echo(written(title(plan, lang), sections(plan, lang)), nl=False)
        return
    from rich.console import Console

    from centime.plan.show.terminal import print_sections

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(title(plan, lang), style="bold")
    console.print()
    print_sections(console, sections(plan, lang))


def _card(plan: Plan, html: Path | None, card: Path | None) -> dict[str, Any]:
    """The plan's card, written where it was asked for, once it is known that both files can be."""
    from centime.plan.card import card_file, make_card, write_card

    if card is not None:
        card_file(card).require_writable()
    if html is not None:
        from centime.plan.show.page import page_file

        page_file(html).require_writable()
        if card is not None and os.path.realpath(html) == os.path.realpath(card):
            raise UserError(f"--html and --card both name {html}; give each a file of its own.")
    made = make_card(plan, sys.argv[1:])
    if card is not None:
        write_card(card, made)
    return made
