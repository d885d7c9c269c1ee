"""`centime calibrate`: measure this machine, so that plans for it start from what it really does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from centime.cli.generate import PriceText


def calibrate(
    out: Annotated[
        Path | None, typer.Option(help="Where the profile goes; $CENTIME_HOME/machine.json if not given.")
    ] = None,
    price: PriceText = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the profile as JSON.")] = False,
) -> None:
    """Products by shape and type, memory, attention, links, whole steps: in under a minute on an idle machine."""
    from dataclasses import asdict

    from rich.console import Console

    from centime.calibrate.calibrate import calibrate as measure
    from centime.calibrate.show import show
    from centime.catalogue.machine import profile_file, profile_path, write_profile
    from centime.catalogue.prices import price_for
    from centime.ledger import Book, Meter, default_book_path
    from centime.ledger.device import this_device

    profile_file(out or profile_path()).require_writable()  # said before the work, not after it
    device = this_device()
    found = price_for(device, price)
    with (
        Book(default_book_path()) as book,
        Meter(book, run="calibrate", verb="calibrate", stage="calibrate", device=device, price=found),
        Console(stderr=True).status("calibrating") as status,
    ):
        profile = measure(lambda what: status.update(f"measuring {what}"))
    path = write_profile(profile, out)
    if as_json:
        typer.echo(json.dumps(asdict(profile)))
    else:
        show(profile, path)
