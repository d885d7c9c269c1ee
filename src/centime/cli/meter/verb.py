"""An engine of somebody else, metered: its options, and what is printed at the end."""

from __future__ import annotations

import json
from typing import Annotated

import typer

LONGEST_DAYS = 3653  # that --for may ask for


def meter(
    engine: Annotated[
        str, typer.Option(help="Its address, such as http://localhost:8000: of vLLM, SGLang, llama-server or centime.")
    ],
    price: Annotated[
        str | None,
        typer.Option(
            help="Per device-hour, and how many devices: '$2.10/h x 8'. Without it: your own, or the catalogue's."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="What it runs on, such as 'H100'.")] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="How long, such as 1h; until Ctrl-C or SIGTERM if left out.")
    ] = None,
    every: Annotated[str, typer.Option(help="Time between two readings: also how finely idle time is told.")] = "2s",
    grid: Annotated[
        str | None, typer.Option(help="Where its electricity comes from, for the carbon: FRA, or '56 g/kWh'.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (docs/meter.md names its keys).")] = False,
) -> None:
    """Split every hour of an engine's machine over what ran on it, by its own counters, idle time apart.

    What is found goes to the ledger as it is found, and `centime bill` shows it.
    """
    from rich.console import Console

    from centime.catalogue.prices import price_given
    from centime.errors import UserError
    from centime.ledger.book import Book
    from centime.ledger.energy import Footprint
    from centime.ledger.engines.metering import metered
    from centime.ledger.engines.shown import meter_json, meter_table
    from centime.ledger.engines.statements import price_and_devices
    from centime.ledger.engines.watch import page_of
    from centime.ledger.imports.terms import NamedDevice, Terms
    from centime.units import parse_duration

    footprint = Footprint.chosen(grid)
    hourly, devices = price_and_devices(price) if price is not None else (None, None)
    if hourly is not None:
        price_given(hourly)
    seconds = None if for_ is None else parse_duration(for_)
    if seconds is not None and not 0 < seconds <= LONGEST_DAYS * 86_400:
        raise UserError(
            f"--for {for_!r} is not between nothing and ten years; give a time such as 1h, or leave it out to go on "
            "until Ctrl-C."
        )
    pace = parse_duration(every)
    if not 0.05 <= pace <= 300:
        raise UserError(f"--every {every!r} is not between 50 milliseconds and 5 minutes; give one such as 2s.")
    terms = Terms(hourly, device, devices)
    if hourly is None and device is not None and terms.cost(NamedDevice(device), 10**9)[0] is None:
        raise UserError(f"--device {device!r} has no price in the catalogue; give --price too, such as '$2.10/h x 8'.")
    with Book() as book:
        watch = metered(book, page_of(engine), terms, seconds, pace)
    if as_json:
        typer.echo(json.dumps(meter_json(watch, terms, footprint), indent=2))
    else:
        Console(highlight=False, markup=False, emoji=False).print(meter_table(watch, terms, footprint))
