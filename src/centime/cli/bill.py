"""`centime bill`: what it really cost."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def bill(
    run: str = typer.Argument(None, help="A run's folder or name; everything in the ledger if left out."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON (docs/bill.md names its keys)."),
    price: str = typer.Option(
        None, "--price", help="Per device-hour, such as '$2/h': for what was booked without a price."
    ),
    focus: Path = typer.Option(
        None, "--focus", help="Also write the charges to this CSV file, as FinOps FOCUS 1.2.", dir_okay=False
    ),
) -> None:
    """What it really cost: device-hours, energy, money per stage, in the shape of Table 1 of the DeepSeek-V3 report."""
    from centime.catalogue.prices import price_given
    from centime.ledger.bill import bill as bill_of
    from centime.ledger.book import Book, default_book_path

    path = default_book_path()
    if not path.exists() and not as_json and run is None and focus is None:
        typer.echo(
            f"Nothing has been booked yet: there is no ledger at {path}. `centime quickstart` writes its first lines."
        )
        return
    with Book(path) as book:
        given = price_given(price) if price is not None else None
        made = bill_of(book, run, given)
        if focus is not None:
            from centime.ledger.focus import write_focus

            written, left_out = write_focus(book, focus, run, given)
    if as_json:
        import json

        typer.echo(json.dumps(made.as_json(), indent=2))
    else:
        from rich.console import Console

        from centime.ledger.table import table_of

        Console(highlight=False, markup=False, emoji=False).print(table_of(made))
    if focus is not None:
        missing = f"; {left_out} intervals without a price left out" if left_out else ""
        typer.echo(f"{focus}: {written} charges in FOCUS 1.2{missing}.", err=True)
