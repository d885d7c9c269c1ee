"""`centime.load` and `centime.save`: a model and its Hugging Face folder.

The folder is the one DeepSeek publishes: config.json, safetensors with DeepSeek's own tensor names (sharded with an
index, or one file), generation_config.json and the tokenizer's files. Loading moves one tensor at a time from file to
parameter; saving builds the whole folder beside its final place and renames it there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
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
from centime.model.decoder import Transformer
from centime.model.matching import check_shapes, match_names, target
from centime.model.names import copies, slots
from centime.model.tensor_files import TensorFiles, write_tensors
from centime.ops.finite import is_finite
from centime.ops.fp8 import dequantize_blocks

SHARD_BYTES = 5_000_000_000  # about DeepSeek-V3's own shards (163 for 688 GB)
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip
_DTYPE_NAMES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(
    path: str | os.PathLike[str], dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Transformer:
    """The model in folder `path`, or in its model/ when it is a run's folder, on `device`.

    Parameters are in `dtype`; None is the type that config.json states, float32 where it states none.
    Block-scaled FP8 weights are dequantised on the way. The routing bias stays float32 in any dtype. MTP modules that
    config.json announces but no file holds (transformers leaves them out) are dropped with a warning.

    Raises UserError, before any weight is read, when a tensor is missing, unexpected or of the wrong shape or type,
    and when a file is absent or damaged; then for a weight that is not finite, in the file or in `dtype`.
    """
    folder = hf_config.model_folder(Path(path))
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; a model is a folder with config.json and .safetensors files.")
    config, raw = hf_config.read(folder)
    files = TensorFiles(folder)
    config = _without_absent_mtp(config, files)
    present = files.describe()
    wanted, repeated = match_names(config, present, files)
    with torch.device("meta"):
        model = Transformer(config)
    block = hf_config.quantization(raw, str(folder / "config.json"))
    check_shapes({**wanted, **repeated}, model.state_dict(), present, files, block)
    stored = str(raw.get("dtype") or raw.get("torch_dtype") or "float32").removeprefix("torch.")
    model = model.to(dtype or _DTYPE_NAMES[stored]).to_empty(device=device)
    state = model.state_dict()
    with torch.no_grad():
        for file, names in files.by_file([*wanted]).items():
            with files.open(file) as handle:
                for name in names:
                    _fill(target(state, wanted[name]), name, handle, files, block)
    for name, slot in repeated.items():
        _check_copy(state[slot.ours], name, files)
    return model


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
    return save_state(model.config, model.state_dict(), path, tokenizer, dtype, shard_bytes)


def save_state(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """`save` for weights held elsewhere than in a module: `state` maps Transformer's names to whole tensors."""
    final = Path(os.path.abspath(path))
    others = _tokenizer_files(tokenizer)
    with whole_folder(final, MODEL, overwrite=True, place="output folder") as temporary:
        _write_folder(config, state, temporary, dtype, shard_bytes)
        for name, source in others.items():
            shutil.copyfile(source, temporary / name)
    return final


def _without_absent_mtp(config: ModelConfig, files: TensorFiles) -> ModelConfig:
    if not config.num_nextn_predict_layers:
        return config
    prefixes = tuple(
        f"model.layers.{config.num_hidden_layers + module}." for module in range(config.num_nextn_predict_layers)
    )
    if any(name.startswith(prefixes) for name in files.file_of):
        return config
    warnings.warn(
        f"{files.folder} announces {config.num_nextn_predict_layers} MTP module(s) and holds none; loading without.",
        stacklevel=3,
    )
    return config.model_copy(update={"num_nextn_predict_layers": 0})


def _fill(place: Tensor, name: str, handle: object, files: TensorFiles, block: int | None) -> None:
    source: Tensor = handle.get_tensor(name)  # type: ignore[attr-defined]
    if source.dtype == torch.float8_e4m3fn:
        assert block is not None  # `check_shapes` has seen to it
        scale = f"{name}_scale_inv"
        with files.open(files.file_of[scale]) as other:  # an index may put it in another shard
            dequantize_blocks(source, other.get_tensor(scale), block, place)
    else:
        place.copy_(source)
    if not is_finite(place):
        where = f"{name} in {files.folder / files.file_of[name]}"
        if is_finite(source) and source.dtype != torch.float8_e4m3fn:
            kind = str(place.dtype).removeprefix("torch.")
            raise UserError(f"{where} has numbers that are too large for {kind}; load it as float32 or bfloat16.")
        raise UserError(f"{where} holds numbers that are not finite (NaN or infinity); the model is damaged.")


def _check_copy(main: Tensor, name: str, files: TensorFiles) -> None:
    with files.open(files.file_of[name]) as handle:
        if torch.equal(handle.get_tensor(name).to(main), main):
            return
    where = f"{name} in {files.folder / files.file_of[name]}"
    if name == "lm_head.weight":
        raise UserError(
            f"{where} differs from the embedding, and tie_word_embeddings = true in config.json makes them one; set "
            "that to false if the head is the model's own, or remove the tensor."
        )
    raise UserError(
        f"{where} differs from the main model's tensor; centime's MTP modules share the embedding and the head, as "
        "DeepSeek-V3's do."
    )


def _write_folder(
    config: ModelConfig, state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype | None, shard_bytes: int
) -> None:
    dtype = dtype or state["embed.weight"].dtype
    raw = to_hf(config, str(dtype).removeprefix("torch."))  # refused before gigabytes are written
    places = {slot.disk: slot for slot in (*slots(config), *copies(config))}
    shapes = {}
    for name, slot in places.items():
        kept = torch.float32 if name.endswith("e_score_correction_bias") else dtype
        shapes[name] = (tuple(target(state, slot).shape), kept)
    write_tensors(folder, shapes, lambda name: _sound(name, target(state, places[name]), shapes[name][1]), shard_bytes)
    (folder / "config.json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
    generation = {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


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


_OWN = ("config.json", "generation_config.json")
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
MODEL = Kind("a model folder", _earlier, _kept)
