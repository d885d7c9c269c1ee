"""An adapter as other programs take it: merged into its model, or by itself in PEFT's format."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from centime.catalogue.hf import model_folder
from centime.errors import UserError
from centime.model.adapted.files import adapter_in, model_and_adapter, read_adapter, write_adapter
from centime.model.checkpoint import is_gguf, load, save
from centime.model.folder import StoredModel
from centime.train.folder.as_model import chosen, run_of, write
from centime.train.folder.run_folder import RunFolder


def export_merged(path: Path, out: Path, adapter: Path | None = None, step: int | None = None) -> str:
    """Writes the model that `path` with its adapter is, summed in float32 and rounded to the model's own type.

    path: a run that trains an adapter, an adapter, or with `adapter` a model. Returns a sentence for the reader. Raises
    UserError where there is no adapter, or `out` cannot be written.
    """
    with TemporaryDirectory() as temporary:
        model, found = model_and_adapter(_adapter_at(path, step, Path(temporary) / "adapter"), adapter)
        if found is None:
            raise UserError(f"{path} has no adapter to merge; name one with --adapter DIR, or leave --merge out.")
        if is_gguf(model):
            raise UserError(f"{model} is a GGUF file; write it as a folder first: centime export {model} --hf FOLDER")
        folder = model_folder(model)
        quantised = bool(StoredModel(folder).matrices)
        save(load(folder, dense=True, adapter=found), out, tokenizer=_tokenizer_of(folder))
    plain = ", its quantised matrices as plain numbers" if quantised else ""
    return f"{out}: the model of {folder} with the adapter of {path if adapter is None else adapter} in it{plain}."


def export_peft(path: Path, out: Path, step: int | None = None) -> str:
    """Writes the adapter of a run, or of its checkpoint of `step`, to `out`. Raises UserError where there is none."""
    with TemporaryDirectory() as temporary:
        source = _adapter_at(path, step, Path(temporary) / "adapter")
        base, found = model_and_adapter(source, None)
        if found is None:
            raise UserError(f"{path} is no adapter, nor a run that trains one; --hf writes its model.")
        config = StoredModel(model_folder(base)).config
        write_adapter(out, read_adapter(found, config, str(base)), config, inputs=[found])
    return f"{out}: the adapter of {path}, for {base}."


def _adapter_at(path: Path, step: int | None, into: Path) -> Path:
    """`path`, or its checkpoint's adapter, written `into` a folder."""
    if step is None and adapter_in(path) is not None:
        return path
    run, own = run_of(path)
    if run is None and step is not None and (path / "recipe.toml").is_file():
        run = RunFolder(path)
    if run is None:
        if step is not None:
            raise UserError(f"{path} is no run, and so has no step {step:,}; leave --step out.")
        return path
    write(run, chosen(run, own if step is None else step), into)
    return into


def _tokenizer_of(folder: Path) -> Path | None:
    return folder if (folder / "tokenizer.json").is_file() else None
