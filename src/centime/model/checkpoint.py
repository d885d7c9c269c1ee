"""`centime.load` and `centime.save`: a model and its Hugging Face folder.

The folder is the one DeepSeek publishes: config.json, safetensors with DeepSeek's own tensor names (sharded with an
index, or one file), generation_config.json and the tokenizer's files. Loading moves one tensor at a time from file to
parameter; saving builds the whole folder beside its final place and renames it there.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from centime.catalogue.hf import config as hf_config
from centime.catalogue.hf import to_hf
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.marks import Kind
from centime.json_files import read_object
from centime.model.adapted.adapter import merge
from centime.model.adapted.files import model_and_adapter, read_adapter
from centime.model.allocate import allocate
from centime.model.decoder import Transformer
from centime.model.folder import StoredModel, dtype_of
from centime.model.matching import target
from centime.model.names import Slot, copies, slots
from centime.model.quantised.layout import Shapes, fits, on_disk, quantization_config, shapes_on_disk
from centime.model.tensor_files import write_tensors
from centime.ops.finite import is_finite
from centime.ops.fp8 import BLOCK
from centime.ops.quantised import Quantised

SHARD_BYTES = 5_000_000_000  # about DeepSeek-V3's own shards (163 for 688 GB)
GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip


def load(
    path: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    dense: bool = False,
    quantised: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
) -> Transformer:
    """The model in folder `path`, or in its model/ when it is a run's folder, or in a GGUF file, on `device`.

    Parameters are in `dtype`; None is the type that config.json states, float32 where it states none. Quantised
    matrices stay so (`ops.quantised.Quantised`, without gradients), or with `dense` become numbers of that type too;
    quantised: a kind that plain ones are rounded to as they are read, embedding, head and routers left out.
    adapter: a folder in PEFT's format, merged into the weights; the matrices that it changes become plain. A `path`
    that is such a folder, or a run that made one, is read with the model that it names.
    The routing bias stays float32 in any dtype. MTP modules that config.json announces but no file holds (transformers
    leaves them out) are dropped with a warning.

    Raises UserError, before any weight is read, when a tensor is missing, unexpected or of the wrong shape or type,
    and when a file is absent or damaged; then for a weight that is not finite, in the file or in `dtype`.
    """
    folder, beside = model_and_adapter(Path(path), None if adapter is None else Path(adapter))
    if beside is not None:
        model = load(folder, dtype, device, dense=dense, quantised=quantised)
        return merge(model, read_adapter(beside, model.config, str(folder)))
    if is_gguf(folder):
        from centime.model.gguf.reading import load_gguf

        return load_gguf(folder, dtype, device, dense=dense)
    stored = StoredModel(hf_config.model_folder(folder))
    model = allocate(
        stored.empty, {} if dense else stored.kinds(quantised), stored.block or BLOCK, dtype or stored.dtype, device
    )
    weights = model.weights()
    with torch.no_grad():
        for name, slot, get in stored.each():
            place = weights[slot.ours]
            if isinstance(place, Quantised):
                stored.fill_quantised(place[slot.index], name, get)
            else:
                stored.fill(target(weights, slot), name, get)
    for name, slot in stored.repeated.items():
        stored.check_copy(weights[slot.ours], name)
    return model


def stated_dtype(path: Path) -> torch.dtype:
    """The type that `load` takes where none is asked for. Raises UserError where config.json cannot be read."""
    if is_gguf(path):
        return torch.bfloat16
    return dtype_of(hf_config.read(hf_config.model_folder(path))[1])


def is_gguf(path: Path) -> bool:
    """Whether `path` is called a GGUF file, and is a file."""
    return path.suffix == ".gguf" and path.is_file()


def save(
    model: Transformer,
    path: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Writes `model` as a Hugging Face folder at `path`, all or nothing, with the tokenizer of folder `tokenizer`.

    `dtype` None keeps the parameters' own. A model folder at `path` that centime wrote is replaced once the new one is
    complete on disk, keeping files that a model folder has beside its weights (its tokenizer, a README).
    Raises UserError when `path` is something else, holds what would be lost, or is being written, when `tokenizer`
    holds no tokenizer, the disk is full, no published family computes the model, or a weight is not finite.
    """
    return save_state(model.config, model.weights(), path, tokenizer, dtype, shard_bytes)


def save_state(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """`save` for weights held elsewhere than in a module: `state` maps Transformer's names to whole tensors."""
    read = lambda slot: target(state, slot)  # noqa: E731
    kinds = {name: weight.kind for name, weight in state.items() if isinstance(weight, Quantised)}
    block = max((weight.block for weight in state.values() if isinstance(weight, Quantised)), default=0)
    weights = Weights(config, dtype or state["embed.weight"].dtype, read, kinds, block)
    return save_weights(weights, path, _tokenizer_files(tokenizer), shard_bytes)


@dataclass(frozen=True)
class Weights:
    """A model to be written. read: a tensor of it, plain or quantised, in the shape it has on disk.

    dtype: of plain ones. kinds: which of the model's tensors are stored quantised, by its own names; block: of fp8.
    """

    config: ModelConfig
    dtype: torch.dtype
    read: Callable[[Slot], Tensor]
    kinds: Mapping[str, str]
    block: int = 0


def save_weights(
    weights: Weights,
    path: str | os.PathLike[str],
    others: Mapping[str, Path],
    shard_bytes: int = SHARD_BYTES,
    inputs: Iterable[Path] = (),
) -> Path:
    """`save` one tensor at a time, with copies of the files `others` by name; `inputs` are read meanwhile."""
    final = Path(os.path.abspath(path))
    with whole_folder(final, MODEL, inputs=inputs, overwrite=True, place="output folder") as temporary:
        _write_folder(weights, temporary, shard_bytes)
        for name, source in others.items():
            shutil.copyfile(source, temporary / name)
        (temporary / GENERATION).write_text(_generation(weights.config, others.get("tokenizer.json")), encoding="utf-8")
    return final


def _write_folder(weights: Weights, folder: Path, shard_bytes: int) -> None:
    config, dtype = weights.config, weights.dtype
    raw = to_hf(config, str(dtype).removeprefix("torch."))  # refused before gigabytes are written
    kinds, shapes, slot_of = _layout(weights)

    @functools.lru_cache(maxsize=1)  # a quantised matrix's tensors are written one after the other
    def parts(slot: Slot) -> dict[str, Tensor]:
        tensor, name = weights.read(slot), slot.disk
        if isinstance(tensor, Quantised) and kinds.get(name):
            _sound(name, tensor.scales, tensor.scales.dtype)
            return on_disk(name, tensor)
        plain = tensor.dense(dtype) if isinstance(tensor, Quantised) else tensor
        return {name: _sound(name, plain, shapes[name][1])}

    write_tensors(folder, shapes, lambda name: parts(slot_of[name])[name], shard_bytes)
    if any(kinds.values()):
        raw["quantization_config"] = quantization_config(kinds, weights.block)
    (folder / "config.json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")


def _generation(config: ModelConfig, tokenizer: Path | None) -> str:
    """generation_config.json: the model's first and last token, and what the one beside its tokenizer says besides.

    A tokenizer out of a model's folder brings that model's sampling settings, and all of its end tokens.
    """
    said = {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id}
    beside = tokenizer.with_name(GENERATION) if tokenizer is not None else None
    if beside is not None and beside.is_file():
        said |= {key: value for key, value in read_object(beside).items() if value is not None}
    return json.dumps(said, indent=2) + "\n"


def _layout(weights: Weights) -> tuple[dict[str, str | None], Shapes, dict[str, Slot]]:
    """By name on disk: each product's kind, None where it is plain; each tensor's shape and type; what it is of."""
    with torch.device("meta"):
        state = Transformer(weights.config).state_dict()
    kinds: dict[str, str | None] = {}
    shapes: Shapes = {}
    slot_of: dict[str, Slot] = {}
    for slot in (*slots(weights.config), *copies(weights.config)):
        shape, name, kind = tuple(target(state, slot).shape), slot.disk, weights.kinds.get(slot.ours)
        if kind is not None and fits(shape[-1], kind):
            tensors = shapes_on_disk(name, shape, kind, weights.block)
        else:
            kind, exact = None, name.endswith("e_score_correction_bias")
            tensors = {name: (shape, torch.float32 if exact else weights.dtype)}
        if len(shape) == 2 and not name.endswith("embed_tokens.weight"):
            kinds[name] = kind
        shapes |= tensors
        slot_of |= dict.fromkeys(tensors, slot)
    return kinds, shapes, slot_of


def _sound(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """`tensor` in the type it is stored in. Raises UserError where it is not finite there."""
    stored = tensor.detach().to(dtype)
    if not is_finite(stored):
        kind = str(dtype).removeprefix("torch.")
        why = f"too large for {kind}" if is_finite(tensor) else "not finite (NaN or infinity)"
        raise UserError(f"{name} holds numbers that are {why}; the model was not saved.")
    return stored


def _tokenizer_files(tokenizer: str | os.PathLike[str] | None) -> dict[str, Path]:
    if tokenizer is None:
        return {}
    found = {name: Path(tokenizer) / name for name in TOKENIZER_FILES if (Path(tokenizer) / name).is_file()}
    if "tokenizer.json" not in found:
        raise UserError(f"{tokenizer} has no tokenizer.json; give the folder that `centime tokenizer train` wrote.")
    return found


def _kept(name: str) -> bool:
    """Whether a file stays in a model's folder when the model is replaced: its tokenizer, a README."""
    return name not in _OWN and ".safetensors" not in name and "/" not in name


def _earlier(folder: Path) -> set[str]:
    """A model that was saved without a mark: transformers and the publishers write more into these two files."""
    raw, generation = (read_object(folder / name) for name in _OWN)
    ours = [*generation] == ["bos_token_id", "eos_token_id"] and [*raw][:2] == ["architectures", "model_type"]
    if not ours or "transformers_version" in raw or not {"use_cache", "torch_dtype"} <= raw.keys():
        return set()
    return {*_OWN} | {path.name for path in folder.iterdir() if _WEIGHTS.fullmatch(path.name)}


_OWN = ("config.json", GENERATION)
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
MODEL = Kind("a model folder", _earlier, _kept)
