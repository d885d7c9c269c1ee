"""`centime export`: a model folder in another program's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[
        Path,
        typer.Argument(
            help="A model folder, a run (unfinished ones too), a checkpoint of one; with --hf a GGUF file too."
        ),
    ],
    gguf: Annotated[Path | None, typer.Option(help="The .gguf file to write, for llama.cpp.")] = None,
    dtype: Annotated[
        str, typer.Option(help="With --gguf: type of the matrices, f32, f16, bf16, q8_0 or q4_0; vectors stay f32.")
    ] = "bf16",
    hf: Annotated[Path | None, typer.Option(help="The Hugging Face folder to write.", metavar="DIR")] = None,
    step: Annotated[int | None, typer.Option(help="With --hf: of this checkpoint of the run.", min=0)] = None,
    merge: Annotated[bool, typer.Option("--merge", help="With --hf: the adapter merged into its model.")] = False,
    adapter: Annotated[Path | None, typer.Option(help="With --merge: an adapter's folder, of the model.")] = None,
    peft: Annotated[
        Path | None, typer.Option(help="Instead: the folder for a run's adapter, in PEFT's format.", metavar="DIR")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: gguf, bytes, dtype (or hf, or peft), notes.")
    ] = False,
) -> None:
    """Write a model as one GGUF file, a run's model or checkpoint as a Hugging Face folder, or a run's adapter."""
    import centime
    from centime.catalogue.hf import model_folder
    from centime.cli.program.unfinished import usable
    from centime.errors import UserError
    from centime.model.gguf.export import export_gguf, gguf_file
    from centime.units import format_bytes

    if [gguf, hf, peft].count(None) != 2:
        raise UserError(
            "give one of these: --gguf FILE.gguf for llama.cpp, --hf DIR for a Hugging Face folder, or --peft DIR for "
            "an adapter."
        )
    if (merge and hf is None) or (adapter is not None and not merge):
        raise UserError("--merge goes with --hf DIR, and --adapter with --merge.")
    if hf is not None or peft is not None:
        note = _as_adapter(model, peft, step) if hf is None else _as_folder(model, hf, step, merge, adapter)
        written = {"peft": str(peft)} if hf is None else {"hf": str(hf)}
        typer.echo(json.dumps(written | {"notes": [note]}, indent=2) if as_json else note)
        return
    assert gguf is not None
    if step is not None:
        raise UserError("--step goes with --hf; write that folder first, and its GGUF file from there.")
    folder = model_folder(usable(model))
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


def _as_adapter(model: Path, out: Path | None, step: int | None) -> str:
    from centime.train.folder.with_adapter import export_peft

    assert out is not None
    return export_peft(model, out, step)


def _as_folder(model: Path, out: Path, step: int | None, merge: bool, adapter: Path | None) -> str:
    """Writes the folder, and returns a sentence for the reader."""
    if merge:
        from centime.train.folder.with_adapter import export_merged

        return export_merged(model, out, adapter, step)
    from centime.model.checkpoint import is_gguf, load, save

    if not is_gguf(model):
        from centime.train.folder.as_model import export as export_folder

        return export_folder(model, out, step)
    from tempfile import TemporaryDirectory

    from centime.data.tokenizers.gguf_file import write_tokenizer_of

    with TemporaryDirectory() as folder:
        write_tokenizer_of(model, Path(folder))
        save(load(model), out, tokenizer=folder)
    return f"{out}: the model of {model}, its matrices as they are stored there."
