"""`centime bill`: what it really cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from centime.ledger.book import Book
    from centime.ledger.energy import Footprint
    from centime.ledger.imports import Terms


def bill(
    run: str = typer.Argument(None, help="A run's folder or name; everything in the ledger if left out."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON (docs/bill.md names its keys)."),
    hours: bool = typer.Option(False, "--hours", help="Show what was served hour by hour too."),
    by: str = typer.Option(
        None,
        "--by",
        help="Instead, what was served sorted by some of organisation, team, key, user, model, feature, run, "
        "price_list, day.",
    ),
    month: str = typer.Option(
        None, "--month", help="With --by or --reprice: of this month alone, such as 2026-11 (UTC)."
    ),
    reprice: str = typer.Option(
        None,
        "--reprice",
        help="Instead, what was served at the prices of a date (2026-11-01) or of a TOML of price lists, beside what "
        "was charged.",
        metavar="DATE|FILE",
    ),
    reconcile: Path = typer.Option(
        None,
        "--reconcile",
        help="Instead, a vendor's CSV (DeepSeek, OpenAI, AWS, FOCUS) against the ledger: differences and causes.",
        dir_okay=False,
    ),
    price: str = typer.Option(
        None,
        "--price",
        help="Per device-hour, such as '$2/h': for what was booked without a price, or for what is imported.",
    ),
    grid: str = typer.Option(
        None,
        "--grid",
        help="Where the electricity comes from, for its carbon: a country (FRA) or a figure ('56 g/kWh'). Without it: "
        "your own carbon.toml, or no carbon at all.",
    ),
    pue: float = typer.Option(
        None, "--pue", help="What the building draws over what its devices do, such as 1.2, for the carbon."
    ),
    focus: Path = typer.Option(
        None,
        "--focus",
        help="Also write the charges to this file, as FinOps FOCUS: Parquet where it ends in .parquet, else CSV.",
        dir_okay=False,
    ),
    focus_version: str = typer.Option("1.2", "--focus-version", help="Of the specification: 1.2 or 1.4."),
    focus_of: str = typer.Option(
        "machine", "--focus-of", help="Its charges: machine, the devices' hours, or tokens, what was served by key."
    ),
    requests: Path = typer.Option(
        None,
        "--requests",
        help="Also write every request that was served to this CSV file: what `plan breakeven --trace` reads.",
        dir_okay=False,
    ),
    imports: list[str] = typer.Option(
        [],
        "--import",
        help="First book what others report: a metrics page of vLLM or SGLang (file or URL), the output of "
        "`sacct --parsable2`, a FOCUS CSV. Again and again: importing twice changes nothing.",
        metavar="FILE|URL",
    ),
    device: str = typer.Option(None, "--device", help="With --import: what it ran on, such as 'H100'."),
    devices: int = typer.Option(None, "--devices", min=1, help="With --import: how many devices a server has."),
    price_list: str = typer.Option(
        None,
        "--price-list",
        help="With --import: the price list of the tokens: a model (deepseek-v4.1-flash) or hit,miss,output.",
    ),
) -> None:
    """What it really cost: device-hours, energy, money per stage, in the shape of Table 1 of the DeepSeek-V3 report."""
    from centime.catalogue.prices import price_given
    from centime.catalogue.tariffs import tariff_for
    from centime.errors import UserError
    from centime.ledger.billing import bill_of, focus_file, requests_file, table_of, write_focus, write_requests
    from centime.ledger.billing.focus_forms import version_named
    from centime.ledger.billing.focus_tokens import kind_named, write_focus_tokens
    from centime.ledger.book import Book, default_book_path
    from centime.ledger.energy import Footprint
    from centime.ledger.imports import Terms
    from centime.units import plural

    if not imports and any(given is not None for given in (device, devices, price_list)):
        raise UserError("--device, --devices and --price-list say what an import does not; give them with --import.")
    footprint = Footprint.chosen(grid, pue)
    version, kind = version_named(focus_version), kind_named(focus_of)
    if focus is not None:
        focus_file(focus, [Path(source) for source in imports]).require_writable()
    if requests is not None:
        requests_file(requests, [Path(source) for source in imports]).require_writable()
    if sum(one is not None for one in (reprice, by, reconcile)) > 1:
        raise UserError("--reprice, --by and --reconcile are questions of their own; ask one at a time.")
    if reconcile is not None:
        _reconcile(reconcile, as_json)
        return
    if reprice is not None:
        _reprice(reprice, month, as_json)
        return
    if by is not None or month is not None:
        _by_tag(by, month, footprint, as_json)
        return
    path = default_book_path()
    writes = focus is not None or requests is not None
    if not path.exists() and not as_json and run is None and not writes and not imports:
        typer.echo(
            f"Nothing has been booked yet: there is no ledger at {path}. `centime quickstart` writes its first lines."
        )
        return
    with Book() as book:
        if imports:
            tariff = tariff_for(price_list) if price_list is not None else None
            _take_in(book, imports, Terms(price, device, devices, tariff))
        given = price_given(price) if price is not None else None
        made = bill_of(book, run, given, footprint)
        if focus is not None:
            if kind == "tokens":
                written, left_out = write_focus_tokens(book, focus, run, version)
            else:
                written, left_out = write_focus(book, focus, run, given, version, footprint)
        if requests is not None:
            listed = write_requests(book, requests, run)
    if as_json:
        import json

        typer.echo(json.dumps(made.as_json(), indent=2))
    else:
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(table_of(made, hours))
    if focus is not None:
        what = "sum" if kind == "tokens" else "interval"
        missing = f"; {plural(left_out, what)} without a price left out" if left_out else ""
        typer.echo(f"{focus}: {plural(written, 'charge')} in FOCUS {version}{missing}.", err=True)
    if requests is not None:
        typer.echo(f"{requests}: {plural(listed, 'request')}, each as it came.", err=True)


def _by_tag(by: str | None, month: str | None, footprint: Footprint, as_json: bool) -> None:
    from centime.errors import UserError
    from centime.ledger.billing.by_tag import as_json as tree_of
    from centime.ledger.billing.by_tag import lines_by, table_by
    from centime.ledger.book import Book

    if by is None:
        raise UserError("--month goes with --by, such as --by team,user, or with --reprice.")
    with Book() as book:
        names, lines = lines_by(book, by, month)
    if as_json:
        import json

        typer.echo(json.dumps(tree_of(names, lines, footprint), indent=2))
    elif not lines:
        typer.echo("Nothing was served in that time, or before the ledger sorted it.")
    else:
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(table_by(names, lines, footprint))


def _reprice(text: str, month: str | None, as_json: bool) -> None:
    from centime.ledger.billing.reprice import OtherPrices, repriced, repriced_json, repriced_table
    from centime.ledger.book import Book

    other = OtherPrices(text)
    with Book() as book:
        lines = repriced(book.requests(), other, month)
        kept = sum(row.requests for row in book.served()) if month is None else 0
    if as_json:
        import json

        typer.echo(json.dumps(repriced_json(lines, other), indent=2))
    elif not lines:
        typer.echo("Nothing was served in that time, or before the ledger kept requests one by one.")
    else:
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(repriced_table(lines, other, kept))


def _reconcile(path: Path, as_json: bool) -> None:
    from centime.ledger.book import Book
    from centime.ledger.reconcile.differences import reconciled, reconciled_table
    from centime.ledger.reconcile.exports import read_export

    export = read_export(path)
    with Book() as book:
        lines = reconciled(book, export)
    if as_json:
        import json

        said = {"kind": export.kind, "unused_columns": export.unused, "lines": [line.as_json() for line in lines]}
        typer.echo(json.dumps(said, indent=2))
    else:
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(reconciled_table(lines, export, path.name))


def _take_in(book: Book, sources: list[str], terms: Terms) -> None:
    """Every source is read before anything is booked, so that a bad one leaves the ledger as it was."""
    from centime.ledger.imports import read_statements

    read = [(source, read_statements(source, terms)) for source in sources]
    for source, statements in read:
        new, known = book.take_in(statements)
        typer.echo(f"{source}: {new} new or newer, {known} known already ({statements[0].source}).", err=True)
