"""`centime export`: a model folder in another program's format."""

from __future__ import annotations

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
) -> None:
    """Write a model folder as one GGUF file: weights, sizes and tokenizer."""
    import centime
    from centime.catalogue.hf_config import model_folder
    from centime.model.export_gguf import export_gguf, gguf_file
    from centime.units import format_bytes

    folder = model_folder(model)
    output = gguf_file(gguf, folder)
    output.require_writable()  # said before the model is read
    for note in export_gguf(centime.load(folder), folder, gguf, dtype, name=model.resolve().name):
        typer.echo(f"Note: {note}", err=True)
    if not output.is_stdout():
        typer.echo(f"{gguf}: {format_bytes(gguf.stat().st_size)}")
