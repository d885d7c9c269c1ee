"""`centime budgets`: what organisations, teams, keys, users and sessions may spend, by the day, the month, for ever."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from centime.cli.program.group import VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True,
    help="Caps on what may be spent, as a tree over the keys of `centime serve`.",
)  # fmt: skip

Target = Annotated[
    str,
    typer.Argument(
        help="Whose: acme, acme/research, key:alice, acme/research/user:bob, key:alice/session:*, user:* (each by "
        "himself)."
    ),
]
Money = Annotated[str, typer.Argument(help="What may be spent in a window, such as '$100'.")]
Per = Annotated[str | None, typer.Option(help="day, month or ever; needed where there are several.")]
Zone = Annotated[str | None, typer.Option(help="Whose midnight a day and a month begin at: Europe/Paris; else UTC.")]
Hard = Annotated[
    bool | None, typer.Option("--hard/--soft", help="Refuse, or lower, what does not fit; or only tell of it.")
]
Alert = Annotated[str | None, typer.Option(help="Per cents of it at which the webhook is told; else 50,80,100.")]
Webhook = Annotated[str | None, typer.Option(help="Address that is sent a JSON object for each; '' for none.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def add(
    target: Target,
    money: Money,
    per: Annotated[str, typer.Option(help="day, month or ever.")] = "month",
    zone: Zone = None,
    hard: Hard = None,
    alert: Alert = None,
    webhook: Webhook = None,
    as_json: AsJson = False,
) -> None:
    """Make a budget. It counts what is spent from now on."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.budgets.edit import CapTerms, add_budget
    from centime.serve.accounts.keys import amount
    from centime.serve.accounts.store import Store

    terms = CapTerms(amount(money), zone, hard, alert, webhook)
    store = Store()
    said = {"amount": money, "per": per, "zone": zone, "hard": hard, "alerts": alert, "webhook": webhook}
    with noting(store, COMMAND_LINE, "create budget", target, said) as connection:
        made = add_budget(connection, target, per, terms)
    if as_json:
        typer.echo(json.dumps(made.as_json()))
        return
    window = "" if made.per == "ever" else f" a {made.per} of {made.zone}"
    typer.echo(f"{target} may spend {money}{window}{'' if made.hard else ' (soft: nothing is refused)'}.")
    place = target.partition("/user:")[0].partition("/session:")[0]
    if ":" not in place and not store.read(
        "SELECT 1 FROM keys WHERE place = ? OR place LIKE ? LIMIT 1", place, f"{place}/%"
    ):
        typer.echo(
            f"No key stands in {place} yet: `centime keys add NAME --in {place}`, or `keys move NAME {place}`.",
            err=True,
        )


@app.command()
def show(as_json: AsJson = False) -> None:
    """The tree: what of each budget's window is spent, held by what runs, and left."""
    from centime.serve.accounts.budgets.tree import tree
    from centime.serve.accounts.store import Store

    with Store().reading() as connection:
        roots = tree(connection)
    if as_json:
        typer.echo(json.dumps([node.as_json() for node in roots], indent=2))
    elif not roots:
        typer.echo("There is no budget yet. `centime budgets add acme/research '$100' --per month` makes one.")
    else:
        from rich.console import Console

        from centime.serve.accounts.budgets.tree_table import tree_table

        Console(highlight=False, markup=False, emoji=False).print(tree_table(roots))


@app.command()
def change(
    target: Target,
    money: Annotated[str | None, typer.Argument(help="The new amount, such as '$200'; else as it is.")] = None,
    per: Per = None,
    zone: Zone = None,
    hard: Hard = None,
    alert: Alert = None,
    webhook: Webhook = None,
    as_json: AsJson = False,
) -> None:
    """Change a budget; what was spent stays counted, and running servers keep to it at once."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.budgets.edit import CapTerms, change_budget
    from centime.serve.accounts.keys import amount
    from centime.serve.accounts.purses import money as shown
    from centime.serve.accounts.store import Store

    terms = CapTerms(None if money is None else amount(money), zone, hard, alert, webhook)
    said = {"amount": money, "per": per, "zone": zone, "hard": hard, "alerts": alert, "webhook": webhook}
    with noting(Store(), COMMAND_LINE, "change budget", target, said) as connection:
        changed = change_budget(connection, target, per, terms)
    if as_json:
        typer.echo(json.dumps(changed.as_json()))
        return
    kind = "hard" if changed.hard else "soft"
    typer.echo(f"{target} has {shown(changed.pico, changed.currency)} per {changed.per}, {kind}.")


@app.command()
def remove(target: Target, per: Per = None, as_json: AsJson = False) -> None:
    """Remove a budget, and with it the count of what was spent; the bill keeps every charge."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.budgets.edit import remove_budget
    from centime.serve.accounts.store import Store

    with noting(Store(), COMMAND_LINE, "remove budget", target, {"per": per}) as connection:
        gone = remove_budget(connection, target, per)
    if as_json:
        typer.echo(json.dumps({"target": gone.target, "per": gone.per, "removed": True}))
    else:
        typer.echo(f"The budget of {target} per {gone.per} is removed.")
