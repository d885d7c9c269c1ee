"""A model opened for use by a verb, on a device that is metered: shared by serve, generate, chat and evaluate."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from centime.errors import UserError

if TYPE_CHECKING:
    from centime.catalogue.prices import Price
    from centime.data.tokenizers import Tokenizer
    from centime.ledger import Meter
    from centime.ledger.device import Device
    from centime.model import Transformer

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class ModelFolder:
    """A model folder, or a GGUF file, before weights are read. `run` is whose bill its use goes on (`find_model`).

    adapter: of what is merged into the weights as they are read.
    """

    tokenizer: Tokenizer
    folder: Path
    run: Path | str
    device: Device
    adapter: Path | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class LoadedModel(ModelFolder):
    """A model and its tokenizer in memory. files: the mark of the files it was read from, where they can be told."""

    model: Transformer
    files: str | None = None


def model_and_adapter(path: Path, adapter: Path | None) -> tuple[Path, Path | None]:
    """The model and the adapter that `path`, with `adapter` beside it, stand for: most have none, and need no torch."""
    if adapter is None and not any((at / "adapter_config.json").is_file() for at in (path, path / "adapter")):
        return path, None
    from centime.model.adapted.files import model_and_adapter as found

    return found(path, adapter)


def find_model(path: Path) -> tuple[Path, Path | str]:
    """(model folder, whose bill its use goes on) of a path that is a model or a run.

    The run of its own `model` is the run folder. A run has other models, such as the base that its chats were trained
    on: runs/quickstart/base is "quickstart-base", so that the two are told apart. A model elsewhere is its own run.
    Raises UserError when neither is there.
    """
    if (path / "config.json").is_file():
        folder = path.resolve()
        if not (folder.parent / "recipe.toml").is_file():
            return path, path
        return path, path.parent if folder.name == "model" else f"{folder.parent.name}-{folder.name}"
    if (path / "model" / "config.json").is_file():
        return path / "model", path
    if not path.exists():
        raise UserError(f"{path} does not exist; give a model's folder, a GGUF file, or the folder of a finished run.")
    what = "has no config.json" if path.is_dir() else "is a file"
    hint = " The run may not be finished: its model is written at its end." if (path / "recipe.toml").is_file() else ""
    raise UserError(f"{path} {what}; a model is a folder with config.json, .safetensors and tokenizer.json.{hint}")


def open_folder(
    path: Path, device: str | None = None, dtype: str | None = None, adapter: Path | None = None
) -> ModelFolder:
    """What `load_model` finds, without the weights. Raises UserError as that does, but for damaged weights."""
    path, adapter = model_and_adapter(path, adapter)
    gguf = path.suffix == ".gguf" and path.is_file()
    folder, run = (path, path.stem) if gguf else find_model(path)
    if adapter is not None:
        run = adapter.parent if (adapter.parent / "recipe.toml").is_file() else adapter
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"dtype is {dtype!r}; give one of {', '.join(DTYPES)}.")
    import torch

    from centime.data.tokenizers import load_tokenizer
    from centime.ledger.device import this_device

    found = this_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if found.kind == "gpu" and not torch.cuda.is_available():
        raise UserError("this torch has no CUDA; use --device cpu, or install a CUDA build of torch.")
    return ModelFolder(_gguf_tokenizer(path) if gguf else load_tokenizer(folder), folder, run, found, adapter=adapter)


def _gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer that a GGUF file carries, in a folder that stays as long as this process."""
    from centime.data.tokenizers import load_tokenizer
    from centime.data.tokenizers.gguf_file import write_tokenizer_of

    place = Path(tempfile.mkdtemp(prefix="centime-"))
    atexit.register(_remove_own, place, os.getpid())
    folder = place / path.stem  # whether a model was tuned for chats is told by its folder's name too
    folder.mkdir()
    write_tokenizer_of(path, folder)
    return load_tokenizer(folder)


def _remove_own(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not a child that was forked off
        shutil.rmtree(folder, ignore_errors=True)


def load_model(
    path: Path, device: str | None = None, dtype: str | None = None, adapter: Path | None = None
) -> LoadedModel:
    """The model at `path` (a model folder, a run folder or a GGUF file) with its tokenizer, in evaluation mode.

    device: cpu or cuda; None: cuda where there is one. dtype: one of DTYPES; None: as the folder says, but float32 on a
    processor for which torch only emulates the folder's 16-bit products, a hundred times as long on some. Quantised
    matrices stay so on a processor; a GPU, for which there are no kernels of them, gets numbers of that dtype.
    Raises UserError on a missing or damaged folder, a missing tokenizer, an unknown device or dtype.
    """
    return load_weights(open_folder(path, device, dtype, adapter), dtype)


def load_weights(found: ModelFolder, dtype: str | None = None) -> LoadedModel:
    """The weights of what `open_folder` found, read as `load_model` says. Raises UserError where they are damaged."""
    return _read(found, _dtype(found, dtype, to_pack=False))


def load_for_inference(found: ModelFolder, dtype: str | None = None, *, keep: bool = False) -> LoadedModel:
    """The same with weights packed where that is faster; for products without gradients.

    Packed weights are read from the user's cache where they are there; keep: else they are put there (`WeightCache`).
    """
    import torch

    from centime.model.digest import files_mark
    from centime.model.packed import pack_weights
    from centime.native.library import reason
    from centime.serve.weight_cache import WeightCache
    from centime.threads import in_passing_thread

    def read() -> LoadedModel:
        chosen = _dtype(found, dtype, to_pack=True)
        marked = found.adapter is None  # else the folder's files are not all that the weights are made of
        mark = (
            files_mark(found.folder) if marked and found.device.kind == "cpu" and chosen in (None, "bfloat16") else None
        )
        cache = WeightCache(found.folder, mark, chosen)
        kept = cache.load()
        if kept is not None:
            return LoadedModel(found.tokenizer, found.folder, found.run, found.device, kept, mark)
        opened = _read(found, chosen)
        pack_weights(opened.model)
        if keep and opened.files == mark:
            cache.keep(opened.model)
        if opened.model.dtype == torch.bfloat16 and opened.device.kind == "cpu" and reason():
            print(f"centime: PyTorch computes everything, more slowly: {reason()}.", file=sys.stderr)
        return opened

    return in_passing_thread(read, "centime-weights")


def _dtype(found: ModelFolder, asked: str | None, *, to_pack: bool) -> str | None:
    """The type to read weights in; None is the folder's own.

    to_pack: they will be packed, so that bf16 is no emulation where our kernels have instructions for it.
    """
    import torch

    from centime.model.checkpoint import stated_dtype
    from centime.native.library import is_vectorised
    from centime.ops.precision import native_bf16

    if asked is not None or native_bf16(torch.device(_torch_device(found))):
        return asked
    ours = to_pack and stated_dtype(found.folder) == torch.bfloat16 and is_vectorised()
    return "bfloat16" if ours else "float32"


def _read(found: ModelFolder, dtype: str | None) -> LoadedModel:
    import torch

    from centime.model.checkpoint import load
    from centime.model.digest import files_mark

    kind = _torch_device(found)
    before = files_mark(found.folder)
    wanted = None if dtype is None else getattr(torch, dtype)
    model = load(found.folder, dtype=wanted, device=kind, dense=kind != "cpu", adapter=found.adapter)
    files = before if files_mark(found.folder) == before else None  # else another's weights may have been read
    files = None if found.adapter else files
    return LoadedModel(
        *(found.tokenizer, found.folder, found.run, found.device, model.eval(), files), adapter=found.adapter
    )


def _torch_device(found: ModelFolder) -> str:
    return "cuda" if found.device.kind == "gpu" else "cpu"


def name_of(found: ModelFolder) -> str:
    """What a model is called where nobody has named it: its run on the bill."""
    return found.run if isinstance(found.run, str) else found.run.resolve().name


@contextlib.contextmanager
def metered(verb: str, opened: ModelFolder, price: Price | None, devices: int = 1) -> Iterator[Meter]:
    """A meter that books stage `verb` of the opened model's run; what came before it is the process's start-up."""
    from centime.ledger import Book, Meter

    with Meter(
        Book(), run=opened.run, verb=verb, stage=verb, device=opened.device, devices=devices, price=price
    ) as meter:
        yield meter
