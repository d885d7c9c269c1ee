"""A model folder opened for use by a verb, on a device that is metered: shared by generate, chat and evaluate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from centime.errors import UserError

if TYPE_CHECKING:
    from centime.catalogue.prices import Price
    from centime.data.tokenizer import Tokenizer
    from centime.ledger import Meter
    from centime.ledger.device import Device
    from centime.model import Transformer

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Opened:
    """A model and its tokenizer in memory. `run` is whose bill its use goes on: the run folder, or the model's own."""

    model: Transformer
    tokenizer: Tokenizer
    folder: Path
    run: Path
    device: Device


def find(path: Path) -> tuple[Path, Path]:
    """(model folder, run folder) of a path that is either; the run of a model outside a run folder is itself.

    Raises UserError when neither is there.
    """
    if (path / "config.json").is_file():
        inside_run = (path.parent / "recipe.toml").is_file()
        return path, path.parent if inside_run else path
    if (path / "model" / "config.json").is_file():
        return path / "model", path
    if not path.exists():
        raise UserError(f"{path} does not exist; give a model's folder, or the folder of a finished run.")
    what = "has no config.json" if path.is_dir() else "is a file"
    hint = " The run may not be finished: its model is written at its end." if (path / "recipe.toml").is_file() else ""
    raise UserError(f"{path} {what}; a model is a folder with config.json, .safetensors and tokenizer.json.{hint}")


def open_model(path: Path, device: str | None = None, dtype: str | None = None) -> Opened:
    """The model at `path` (a model folder or a run folder) with its tokenizer, in evaluation mode.

    device: cpu or cuda; None: cuda where there is one. dtype: one of DTYPES; None: as the folder says, but float32 on a
    processor that only emulates the folder's 16-bit products, which would take a hundred times as long.
    Raises UserError on a missing or damaged folder, a missing tokenizer, an unknown device or dtype.
    """
    folder, run = find(path)
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"dtype is {dtype!r}; give one of {', '.join(DTYPES)}.")
    import torch

    from centime.data.tokenizer import load_tokenizer
    from centime.ledger.device import this_device
    from centime.model.checkpoint import load
    from centime.ops.precision import native_bf16

    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    found = this_device(kind)
    if found.kind == "gpu" and not torch.cuda.is_available():
        raise UserError("this torch has no CUDA; use --device cpu, or install a CUDA build of torch.")
    tokenizer = load_tokenizer(folder)
    if dtype is None and not native_bf16(torch.device(kind)):
        dtype = "float32"
    model = load(folder, dtype=None if dtype is None else getattr(torch, dtype), device=kind)
    return Opened(model.eval(), tokenizer, folder, run, found)


@contextlib.contextmanager
def metered(verb: str, opened: Opened, price: Price | None) -> Iterator[Meter]:
    """A meter that books stage `verb` of the opened model's run; what came before it is the process's start-up."""
    from centime.ledger import Book, Meter

    with Meter(Book(), run=opened.run, verb=verb, stage=verb, device=opened.device, price=price) as meter:
        yield meter
