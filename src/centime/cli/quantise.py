"""`centime quantise`: a model folder with matrices of 8 or 4 bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def quantise(
    model: Annotated[Path, typer.Argument(help="Model folder, or the folder of a finished run.")],
    out: Annotated[Path, typer.Argument(help="The folder to make, in compressed-tensors format.")],
    format: Annotated[str, typer.Option(help="Of the matrices: int8, int4 (both by groups of 32) or fp8 (by blocks).")],
    experts: Annotated[str | None, typer.Option(help="Another one for routed experts; bf16 too.")] = None,
    attention: Annotated[str | None, typer.Option(help="Another one for attention; bf16 too.")] = None,
    head: Annotated[str, typer.Option(help="The output matrix's.")] = "bf16",
    calibrate: Annotated[
        Path | None,
        typer.Option(help="A text to run through the model first: int4 then errs where it harms least."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: folder, bytes, notes.")] = False,
) -> None:
    """Write MODEL to OUT with its matrices quantised; norms, routers and the embedding stay bf16."""
    from rich.console import Console
    from rich.progress import Progress

    from centime.cli.program.unfinished import usable
    from centime.evaluate.calibration import importance_on
    from centime.model.quantised.quantise import Formats, quantise_folder
    from centime.units import format_bytes

    formats = Formats(format, experts, attention, head)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as show:
        source, measured = usable(model), None
        if calibrate is not None:
            task = show.add_task("Calibrating", total=None)
            measured = importance_on(source, calibrate, lambda done, of: show.update(task, completed=done, total=of))
        task = show.add_task("Quantising", total=None)
        notes = quantise_folder(
            source, out, formats, lambda done, of: show.update(task, completed=done, total=of), measured
        )
    size = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "bytes": size, "notes": notes}, indent=2))
        return
    for note in notes:
        typer.echo(f"Note: {note}", err=True)
    typer.echo(f"{out}: {format_bytes(size)} of weights")
