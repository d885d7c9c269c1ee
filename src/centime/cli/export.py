"""`centime export`: a model folder in another program's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def export(
    model: Annotated[
        Path, typer.Argument(help="A model folder (config.json, safetensors, tokenizer.json) or a run folder.")
    ],
    gguf: Annotated[Path, typer.Option(help="The .gguf file to write, for llama.cpp.")],
    dtype: Annotated[str, typer.Option(help="Type of the matrices: f32, f16 or bf16; vectors stay f32.")] = "bf16",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: gguf, bytes, dtype, notes.")] = False,
) -> None:
    """Write a model folder as one GGUF file: weights, sizes and tokenizer."""
    import centime
    from centime.catalogue.hf_config import model_folder
    from centime.errors import UserError
    from centime.model.export_gguf import export_gguf, gguf_file
    from centime.units import format_bytes

    folder = model_folder(model)
    output = gguf_file(gguf, folder)
    output.require_writable()  # said before the model is read
    if as_json and output.is_stdout():
        raise UserError("--gguf is standard output, where --json prints; give --gguf another file.")
    notes = export_gguf(centime.load(folder), folder, gguf, dtype, name=model.resolve().name)
    for note in notes:
        typer.echo(f"Note: {note}", err=True)
    if as_json:
        typer.echo(
            json.dumps({"gguf": str(gguf), "bytes": gguf.stat().st_size, "dtype": dtype, "notes": notes}, indent=2)
        )
    elif not output.is_stdout():
        typer.echo(f"{gguf}: {format_bytes(gguf.stat().st_size)}")
