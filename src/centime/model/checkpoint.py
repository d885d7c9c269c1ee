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

from centime.catalogue import hf_config
from centime.catalogue.hf_family import to_hf
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.marks import Kind
from centime.json_files import read_object
from centime.model.decoder import Transformer
from centime.model.names import Slot, copies, slots, stacked_experts
from centime.model.tensor_files import TensorFiles, write_tensors
from centime.ops.fp8 import dequantize_blocks, scale_shape

SHARD_BYTES = 5_000_000_000  # about DeepSeek-V3's own shards (163 for 688 GB)
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip
_PLAIN = {"F32", "BF16", "F16"}
_DTYPE_NAMES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(
    path: str | os.PathLike[str], dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Transformer:
    """The model in folder `path`, or in its model/ when it is a run's folder, on `device`.

    Parameters are in `dtype`; None is the type that config.json states, float32 where it states none.
    Block-scaled FP8 weights are dequantised on the way. The routing bias stays float32 in any dtype. MTP modules that
    config.json announces but no file holds (transformers leaves them out) are dropped with a warning.

    Raises UserError, before any weight is read, when a tensor is missing, unexpected or of the wrong shape or type,
    and when a file is absent or damaged.
    """
    folder = hf_config.model_folder(Path(path))
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; a model is a folder with config.json and .safetensors files.")
    config, raw = hf_config.read(folder)
    files = TensorFiles(folder)
    config = _without_absent_mtp(config, files)
    with torch.device("meta"):
        model = Transformer(config)
    block = hf_config.quantization(raw, str(folder / "config.json"))
    wanted, repeated = _match(config, model.state_dict(), files, block)
    stored = _DTYPE_NAMES.get(str(raw.get("dtype") or raw.get("torch_dtype")), torch.float32)
    model = model.to(dtype or stored).to_empty(device=device)
    state = model.state_dict()
    with torch.no_grad():
        for file, names in files.by_file([*wanted]).items():
            with files.open(file) as handle:
                for name in names:
                    _fill(_target(state, wanted[name]), name, handle, files, block)
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
    holds no tokenizer, or the disk is full.
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


def _match(
    config: ModelConfig, state: Mapping[str, Tensor], files: TensorFiles, block: int | None
) -> tuple[dict[str, Slot], dict[str, Slot]]:
    """Tensor names to read into the model, and those that must repeat one; everything checked against the headers."""
    present = files.describe()
    wanted = {slot.disk: slot for slot in slots(config)}
    for prefix, slot in stacked_experts(config):
        if slot.disk in present:
            wanted = {name: one for name, one in wanted.items() if not _is_expert(name, prefix, slot)}
            wanted[slot.disk] = slot
    optional = {slot.disk: slot for slot in copies(config)}
    if config.tie_word_embeddings:
        optional["lm_head.weight"] = Slot("lm_head.weight", "embed.weight")
    repeated = {name: slot for name, slot in optional.items() if name in present}
    scales = {f"{name}_scale_inv" for name in present if present[name][1] == "F8_E4M3"}
    if missing := [name for name in wanted if name not in present]:
        raise UserError(
            f"{files.folder} lacks {_some(missing)}, which its config.json calls for; copy the missing shard, or "
            "correct config.json."
        )
    known = wanted.keys() | repeated.keys() | scales
    if unexpected := [name for name in present if name not in known and not name.endswith("rotary_emb.inv_freq")]:
        raise UserError(
            f"{files.folder / files.file_of[unexpected[0]]} holds {_some(unexpected)}, which a model of this "
            "config.json has no place for; correct config.json, or remove the tensor."
        )
    for name, slot in {**wanted, **repeated}.items():
        where = f"{name} in {files.folder / files.file_of[name]}"
        shape, stored = present[name]
        expected = tuple(_target(state, slot).shape)
        if shape != expected:
            raise UserError(f"{where} has shape {list(shape)}; config.json makes it {list(expected)}.")
        if stored == "F8_E4M3":
            _check_scales(where, f"{name}_scale_inv", shape, present, block)
        elif stored not in _PLAIN:
            raise UserError(f"{where} is stored as {stored}; centime reads {', '.join(sorted(_PLAIN))} and F8_E4M3.")
    return wanted, repeated


def _check_scales(
    where: str, scale: str, shape: tuple[int, ...], present: dict[str, tuple[tuple[int, ...], str]], block: int | None
) -> None:
    if block is None:
        raise UserError(f"{where} is FP8, but config.json has no quantization_config to say its block size.")
    if scale not in present:
        raise UserError(f"{where} is FP8 and has no scales; expected a tensor {scale} beside it.")
    if present[scale][0] != scale_shape(shape, block):
        expected = list(scale_shape(shape, block))
        raise UserError(f"{where} has scales {list(present[scale][0])}; blocks of {block} make them {expected}.")


def _is_expert(name: str, prefix: str, stacked: Slot) -> bool:
    """Whether `name` is one expert's share of `stacked`."""
    parts = ("gate_proj.weight", "up_proj.weight") if stacked.ours.endswith("gate_up") else ("down_proj.weight",)
    return name.startswith(prefix) and name.endswith(parts)


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _target(state: Mapping[str, Tensor], slot: Slot) -> Tensor:
    """The part of the model's state that `slot` fills, in the shape it has on disk."""
    tensor = state[slot.ours]
    if slot.disk.endswith(".gate_up_proj"):  # stacked by transformers: [E, 2F, D]
        return tensor.flatten(1, 2)
    return tensor[slot.index]


def _fill(target: Tensor, name: str, handle: object, files: TensorFiles, block: int | None) -> None:
    source: Tensor = handle.get_tensor(name)  # type: ignore[attr-defined]
    if source.dtype != torch.float8_e4m3fn:
        target.copy_(source)
        return
    assert block is not None  # `_match` has seen to it
    scale = f"{name}_scale_inv"
    with files.open(files.file_of[scale]) as other:  # an index may put it in another shard
        dequantize_blocks(source, other.get_tensor(scale), block, target)


def _check_copy(main: Tensor, name: str, files: TensorFiles) -> None:
    with files.open(files.file_of[name]) as handle:
        if not torch.equal(handle.get_tensor(name).to(main), main):
            raise UserError(
                f"{name} in {files.folder / files.file_of[name]} differs from the main model's tensor; centime's MTP "
                "modules share the embedding and the head, as DeepSeek-V3's do."
            )


def _write_folder(
    config: ModelConfig, state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype | None, shard_bytes: int
) -> None:
    dtype = dtype or state["embed.weight"].dtype
    places = {slot.disk: slot for slot in (*slots(config), *copies(config))}
    shapes = {}
    for name, slot in places.items():
        kept = torch.float32 if name.endswith("e_score_correction_bias") else dtype
        shapes[name] = (tuple(_target(state, slot).shape), kept)
    write_tensors(folder, shapes, lambda name: _target(state, places[name]), shard_bytes)
    raw = to_hf(config, str(dtype).removeprefix("torch."))
    (folder / "config.json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
    generation = {"bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


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
