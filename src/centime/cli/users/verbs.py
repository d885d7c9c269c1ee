"""`centime users`: what the ledger knows of a user whom clients named, given out and forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from centime.cli.program.group import VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True,
    help="What the ledger knows of a user whom clients named in their requests.",
)  # fmt: skip

User = Annotated[str, typer.Argument(help="As the requests name them: `centime bill --by user` lists them.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def export(
    user: User,
    out: Annotated[Path, typer.Option(help="CSV file for their requests, one a row.", dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Write every request that the ledger has of a user to a CSV file."""
    from centime.ledger.billing.by_tag import write_user
    from centime.ledger.book import Book
    from centime.units import plural

    with Book() as book:
        written = write_user(book, user, out)
    said = json.dumps({"user": user, "out": str(out), "requests": written})
    typer.echo(said if as_json else f"{out}: {plural(written, 'request')} of {user}.")


@app.command()
def erase(user: User, as_json: AsJson = False) -> None:
    """Forget a user's name, sessions and tags; their requests stay on the bill, under '(erased)'."""
    from centime.ledger.book import Book
    from centime.serve.accounts.budgets.edit import forget_person
    from centime.serve.accounts.store import Store
    from centime.units import plural

    with Book() as book:
        requests = book.erase(user)
    with Store().writing() as connection:
        left = forget_person(connection, user)
    if as_json:
        typer.echo(json.dumps({"user": user, "requests": requests, "budgets": left}))
        return
    typer.echo(f"{plural(requests, 'request')} of {user} stand under '(erased)' now.")
    if left:
        typer.echo(f"Budgets still name {user}: {', '.join(left)}; `centime budgets remove` forgets them.", err=True)
