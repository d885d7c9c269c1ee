"""`centime keys`: who may ask a server, how much, and at what prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from centime.cli.program.group import VerbGroup

app = typer.Typer(
    cls=VerbGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True,
    help="API keys of `centime serve`. Without any, a server is open, to this machine alone.",
)  # fmt: skip

Name = Annotated[str, typer.Argument(help="The key's name, on the bill too.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def add(
    name: Name,
    budget: Annotated[
        str | None, typer.Option(help="What it may spend, such as '$5'; `top-up` adds to it. Without: no end.")
    ] = None,
    price_list: Annotated[
        str | None,
        typer.Option(
            help="Its price list: a model of the catalogue (deepseek-v4.1-flash), or amounts per million tokens as "
            "hit,miss,output, off-peak ones after a slash. Without: the server's."
        ),
    ] = None,
    peak_hours: Annotated[
        str | None, typer.Option(help="UTC, such as '01:00-04:00,06:00-10:00 Mon-Fri'; else the list's own.")
    ] = None,
    per_minute: Annotated[int | None, typer.Option(help="Requests in any 60 seconds, at most.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at once, at most.")] = None,
    place: Annotated[
        str,
        typer.Option("--in", help="Organisation or team it stands in, such as acme/research: `centime budgets`."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is printed once: the ledger keeps a hash of it."""
    from centime.catalogue.tariffs import tariff_for
    from centime.errors import UserError
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.keys import add_key
    from centime.serve.accounts.store import Store

    if peak_hours is not None and price_list is None:
        raise UserError("--peak-hours go with --price-list: the key has no price list of its own.")
    tariff = tariff_for(price_list, hours=peak_hours) if price_list is not None else None
    store = Store()
    said = {"budget": budget, "price_list": price_list, "peak_hours": peak_hours, "place": place or None}
    limits = {"per_minute": per_minute, "concurrency": concurrency}
    with noting(store, COMMAND_LINE, "create key", name, {**said, **limits}):
        secret = add_key(store, name, tariff=tariff, budget=budget, place=place, **limits)
    if as_json:
        typer.echo(json.dumps({"name": name, "secret": secret}))
        return
    typer.echo(secret)
    typer.echo(f"This is the key {name!r}. Keep it now: it cannot be shown again.", err=True)
    if tariff is not None:
        typer.echo(f"Prices: {tariff}.", err=True)
    elif budget is not None and not store.read("SELECT 1 FROM price_lists"):
        typer.echo("Its budget pays only where a server's --price-list is in the same currency.", err=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every key: what is left, what it has running, its limits. No secret."""
    from centime.serve.accounts.keys import list_keys
    from centime.serve.accounts.store import Store

    keys = list_keys(Store())
    if as_json:
        typer.echo(json.dumps([key.as_json() for key in keys], indent=2))
    elif not keys:
        typer.echo("There is no key yet: a server is open, to this machine alone. `centime keys add NAME` makes one.")
    else:
        from rich.console import Console

        from centime.serve.accounts.keys_table import keys_table

        Console(highlight=False, markup=False, emoji=False).print(keys_table(keys))


@app.command()
def revoke(name: Name, as_json: AsJson = False) -> None:
    """Refuse a key from now on, for good; its requests that run are finished."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.keys import revoke as revoke_key
    from centime.serve.accounts.store import Store

    store = Store()
    with noting(store, COMMAND_LINE, "revoke key", name, {}):
        revoke_key(store, name)
    _say({"name": name, "revoked": True}, f"{name} is revoked.", as_json)


@app.command()
def move(
    name: Name,
    place: Annotated[str, typer.Argument(help="An organisation (acme) or a team of it (acme/research); - for none.")],
    as_json: AsJson = False,
) -> None:
    """Let a key stand in another organisation or team: its next requests count in the budgets there."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.keys import move as move_key
    from centime.serve.accounts.store import Store

    store, place = Store(), "" if place == "-" else place
    with noting(store, COMMAND_LINE, "change key", name, {"place": place}):
        move_key(store, name, place)
    where = f"stands in {place}" if place else "stands in no organisation"
    _say({"name": name, "place": place or None}, f"{name} {where}.", as_json)


@app.command()
def rotate(
    name: Name,
    overlap: Annotated[float, typer.Option(help="Hours for which the old secret is good yet.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret, printed once; its name, balance and lines on the bill stay."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.access.lifetimes import rotate as rotate_key
    from centime.serve.accounts.store import Store

    store = Store()
    with noting(store, COMMAND_LINE, "rotate key", name, {"overlap_seconds": overlap * 3600}):
        secret = rotate_key(store, name, overlap * 3600)
    _say({"name": name, "secret": secret}, secret, as_json)


@app.command()
def expire(
    name: Name,
    when: Annotated[str, typer.Argument(help="A day or an instant (ISO 8601), such as 2027-01-31; never for no end.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a key from an instant on."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.access.lifetimes import instant_ns, set_end
    from centime.serve.accounts.store import Store

    store, at_ns = Store(), None if when == "never" else instant_ns(when)
    with noting(store, COMMAND_LINE, "change key", name, {"expires": "" if at_ns is None else when}):
        set_end(store, name, at_ns)
    end = None if at_ns is None else at_ns // 10**9
    _say({"name": name, "expires": end}, f"{name} {'has no end' if end is None else f'ends at {when}'}.", as_json)


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="The copy's name; an earlier copy there is replaced.")],
    as_json: AsJson = False,
) -> None:
    """Copy the whole ledger, keys and bill, as it is at one instant, while servers write to it."""
    from centime.ledger import default_book_path
    from centime.serve.accounts.access.backup import back_up

    size = back_up(default_book_path(), to)
    _say({"to": str(to), "bytes": size}, f"{to} holds the ledger, {size:,} bytes.", as_json)


@app.command()
def restore(
    copy: Annotated[Path, typer.Argument(help="What `centime keys backup` wrote.")], as_json: AsJson = False
) -> None:
    """Put a copy in the ledger's place, while no server runs; what was there is kept beside it."""
    from centime.ledger import default_book_path
    from centime.serve.accounts.access.backup import restore as restore_copy

    before = restore_copy(copy, default_book_path())
    kept = f"; what it was is {before}" if before is not None else ""
    _say(
        {"ledger": str(default_book_path()), "before": None if before is None else str(before)},
        f"The ledger is that of {copy}{kept}.",
        as_json,
    )


@app.command("top-up")
def top_up(name: Name, money: Annotated[str, typer.Argument(help="Such as '$5'.")], as_json: AsJson = False) -> None:
    """Add money to a key's budget."""
    from centime.serve.accounts.access.audit import COMMAND_LINE, noting
    from centime.serve.accounts.keys import top_up as top_up_key
    from centime.serve.accounts.purses import money as shown
    from centime.serve.accounts.store import Store

    store = Store()
    with noting(store, COMMAND_LINE, "change key", name, {"add_budget": money}):
        key = top_up_key(store, name, money)
    assert key.balance is not None
    assert key.currency is not None
    _say(key.as_json(), f"{name} has {shown(key.balance, key.currency)}.", as_json)


def _say(tree: dict[str, Any], sentence: str, as_json: bool) -> None:
    typer.echo(json.dumps(tree) if as_json else sentence)
