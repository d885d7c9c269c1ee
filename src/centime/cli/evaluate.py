"""`centime evaluate`: bits per byte of a model on held-out files, beside gzip and xz."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from centime.cli.generate import DeviceName, Dtype, Model, PriceText


def evaluate(
    model: Model,
    files: Annotated[list[Path], typer.Argument(help="Text files, or one folder of a prepared split (its holdout/).")],
    window: Annotated[
        int | None, typer.Option(help="Tokens of context at most; else the model's, 4096 at most.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens a window advances; else half a window.")] = None,
    compressors: Annotated[bool, typer.Option(help="Compress the same bytes with gzip -9 and xz -9.")] = True,
    device: DeviceName = None,
    dtype: Dtype = None,
    price: PriceText = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Bits per byte of MODEL on FILES: every byte predicted, each from what comes before it."""
    from rich.console import Console
    from rich.progress import Progress

    from centime.catalogue.prices import ask_for_price, price_for
    from centime.cli.program.unfinished import usable
    from centime.evaluate.bits_per_byte import bits_per_byte, read_files, read_split
    from centime.evaluate.comparison import CompressorComparison, own_bytes
    from centime.evaluate.compressors import compress
    from centime.plan.counts import count
    from centime.serve.loading import load_model, metered
    from centime.units import format_duration, format_money, plural

    opened = load_model(usable(model), device, dtype)
    if len(files) == 1 and files[0].is_dir():
        text, contents = read_split(files[0], opened.tokenizer)
    else:
        text, contents = read_files(files, opened.tokenizer)
    found = price_for(opened.device, price)
    show = Progress(console=Console(stderr=True), transient=True)
    with metered("evaluate", opened, found) as meter, show:
        task = show.add_task("Bits per byte", total=text.tokens)
        outcome = bits_per_byte(
            opened.model,
            text,
            window=window,
            stride=stride,
            progress=lambda charged, total: show.update(task, completed=charged, total=total),
        )
        forward = count(opened.model.config, outcome.window).forward_flops_per_token
        meter.add(tokens=outcome.computed_tokens, flops=outcome.computed_tokens * forward)
        spent = meter.spent()
    result = CompressorComparison(
        outcome, compress(contents) if compressors else [], *own_bytes(opened.folder, opened.tokenizer.folder)
    )
    if as_json:
        typer.echo(json.dumps(result.as_json() | spent.as_json()))
        return
    console = Console()
    console.print(result.table())
    if compressors:
        console.print(result.verdict(), highlight=False)
    console.print(
        f"{plural(outcome.tokens, 'token')} of {plural(outcome.documents, 'document')}, each predicted from at most "
        f"{outcome.window:,} before it, in windows that advance by {outcome.stride:,}; "
        f"{outcome.nats_per_token:.3f} nats per token.",
        highlight=False,
    )
    money = ask_for_price(opened.device)
    if found is not None and spent.cost is not None:
        money = f"{format_money(spent.cost, found.currency)} (price {found.kind}, of {found.date})"
    typer.echo(f"Spent {format_duration(spent.device_ns / 1e9)} of {opened.device}; {money}.", err=True)
