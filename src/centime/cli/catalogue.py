"""`centime catalogue`: the prices that plans and bills rest on."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from centime.cli.program.group import VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True,
    help="Prices that plans and bills rest on: what is asked at an instant, and newer ones from public tables.",
)  # fmt: skip

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/catalogue.md names its keys).")]


@app.command()
def update(
    source: Annotated[
        str | None,
        typer.Option(help="skypilot (hours of chips), litellm (model APIs) or epoch (chips); all if left out."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", help="With --source: another address of it, or a copy on this machine.", metavar="URL|PATH"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch newer prices from public catalogues into your own data; plans then answer with them, and say their age."""
    from centime.catalogue.updates import SOURCES
    from centime.catalogue.updates import update as fetch
    from centime.errors import UserError

    if from_ is not None and source is None:
        raise UserError("--from is where one source is read: name it with --source skypilot, litellm or epoch.")
    if from_ == "":
        raise UserError("--from is empty; give an address (https://...) or a path.")
    done, failed = [], []
    for one in [source] if source is not None else SOURCES:
        try:
            done.append(fetch(one, from_))
        except UserError as error:
            failed.append(str(error))
        else:
            if not as_json:
                typer.echo(str(done[-1]))
    if as_json and not failed:
        typer.echo(json.dumps([one.as_json() for one in done], indent=2))
    if failed:
        raise UserError(" ".join(failed))


@app.command()
def price(
    price_list: Annotated[
        str,
        typer.Argument(
            help="A model of the price lists, as its API names it (deepseek-flash, deepseek-v4-pro), or amounts per "
            "million tokens as hit,miss,output, off-peak ones after a slash."
        ),
    ],
    at: Annotated[
        str | None, typer.Option(help="The instant of the request, such as 2026-08-22T16:00Z; now if left out.")
    ] = None,
    hit: Annotated[int, typer.Option(help="Prompt tokens found in the cache.", min=0)] = 0,
    miss: Annotated[int, typer.Option(help="Other prompt tokens.", min=0)] = 0,
    output: Annotated[int, typer.Option(help="Output tokens.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """What a request is charged at an instant: by the list in force then, never by a later one."""
    import datetime

    from centime.catalogue.tariffs.requests import priced

    moment = at if at is not None else datetime.datetime.now(datetime.UTC).isoformat()
    found = priced(price_list, moment, (hit, miss, output))
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else str(found))


@app.command()
def vectors(as_json: AsJson = False) -> None:
    """Requests by their instants and what each is charged by DeepSeek's lists, as CSV: tests for other programs."""
    from centime.catalogue.tariffs.requests import VECTORS
    from centime.csv_files import read_rows

    if as_json:
        typer.echo(json.dumps(read_rows(VECTORS), indent=2))
    else:
        typer.echo(VECTORS.read_text(encoding="utf-8"), nl=False)
