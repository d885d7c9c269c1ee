"""Adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors, under PEFT's own names.

A linear layer's are `base_model.model.NAME.lora_A.weight` [R, I] and `lora_B.weight` [O, R]. Stacked experts and
routers are parameters (`target_parameters`): A is [E R, I], an expert after the other, and B [O, R E], a rank after the
other. Of two such parameters of one module PEFT wraps the first, then the wrapper: gate_up_proj is under `base_layer`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.marks import Kind
from centime.json_files import brief, read_object
from centime.model.adapted.adapter import Adapter
from centime.model.adapted.attach import LowRankSettings
from centime.model.adapted.sites import Site, sites
from centime.model.tensor_files import Stored, read_file, write_file
from centime.ops.finite import is_finite

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER = Kind("an adapter's folder", lambda _: set())
PREFIX = "base_model.model."
_TABLES = {
    "lm_head.base_layer.weight",
    "lm_head.weight",
    "model.embed_tokens.weight",
    "model.embed_tokens.base_layer.weight",
}  # of the base itself, which PEFT writes too where the head has an adapter
_OTHERWISE = {
    "use_dora": False, "bias": "none", "fan_in_fan_out": False, "modules_to_save": None, "lora_bias": False,
    "layer_replication": None, "alpha_pattern": {}, "trainable_token_indices": None, "alora_invocation_tokens": None,
}  # fmt: skip


def adapter_in(path: Path) -> Path | None:
    """The folder of the adapter that `path` is, or that a run of that folder has made; None where a model is there."""
    for folder in (path, *([path / "adapter"] if (path / "recipe.toml").is_file() else [])):
        if (folder / "config.json").is_file():
            return None
        if (folder / CONFIG).is_file():
            return folder
    return None


def base_of(folder: Path) -> str | None:
    """The model that an adapter's maker names. Raises UserError where the adapter's settings cannot be read."""
    found = read_object(folder / CONFIG).get("base_model_name_or_path")
    return found if isinstance(found, str) and found else None


def model_and_adapter(path: Path, adapter: Path | None) -> tuple[Path, Path | None]:
    """What to read where a person names a model, and perhaps an adapter of it: (model, the adapter's own folder).

    An adapter, or a run that has made one, brings the model that it was trained beside. Raises UserError where that is
    not there, or an adapter is to be put on an adapter.
    """
    found = adapter_in(path)
    if found is None:
        return path, None if adapter is None else adapter_in(adapter) or adapter
    if adapter is not None:
        raise UserError(
            f"{path} is an adapter itself, and {adapter} would stand on it: merge it first (centime export {path} "
            "--merge --hf FOLDER), and put the other one on that."
        )
    base = base_of(found)
    if base is None or not Path(base).exists():
        where = "names no model" if base is None else f"is an adapter of {base}, which is not there"
        raise UserError(f"{found} {where}: name its model's folder, and the adapter with --adapter {found}.")
    return Path(base), found


def write_adapter(folder: Path, adapter: Adapter, config: ModelConfig, inputs: Iterable[Path] = ()) -> Path:
    """The adapter as a folder, all or nothing, its numbers in float32; an earlier adapter there is replaced.

    Raises UserError where `folder` is something else, the disk is full, or a number is not finite.
    """
    tensors: dict[str, Tensor] = {}
    for site, (a, b) in adapter.pairs.items():
        for name, tensor in (("lora_A", a), ("lora_B", b)):
            if not is_finite(tensor):
                raise UserError(f"The adapter of {site.name} has numbers that are not finite; it is not saved.")
            tensors[f"{PREFIX}{_place(site, adapter.pairs)}.{name}.weight"] = _flat(tensor, name)
    shapes = {name: (tuple(tensor.shape), torch.float32) for name, tensor in tensors.items()}
    said = json.dumps(_config(adapter, config), indent=2) + "\n"
    with whole_folder(folder, ADAPTER, inputs=inputs, overwrite=True, place="output folder") as temporary:
        write_file(temporary / WEIGHTS, shapes, shapes, tensors.__getitem__)
        (temporary / CONFIG).write_text(said, encoding="utf-8")
    return folder


def read_adapter(folder: Path, config: ModelConfig, base: str) -> Adapter:
    """The adapter in `folder`, for the model of `config` that is called `base` in sentences.

    Raises UserError where it is none, of a kind that is not read here, damaged, or of another model.
    """
    if not (folder / CONFIG).is_file():
        what = "does not exist" if not folder.exists() else f"has no {CONFIG}"
        raise UserError(f"{folder} {what}; an adapter is a folder with {CONFIG} and {WEIGHTS}, as PEFT writes one.")
    said = read_object(folder / CONFIG)
    settings = _settings(said, folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has no {WEIGHTS}; copy it again, or save the adapter with safe_serialization=True.")
    stored, read = read_file(folder / WEIGHTS)
    there = {site.name.removesuffix(".weight"): site for site in sites(config)}
    wanted, pairs = set(stored), {}
    for site in there.values():
        place = _found_place(site, stored)
        if place is None:
            continue
        names = [f"{PREFIX}{place}.lora_{letter}.weight" for letter in "AB"]
        pairs[site] = _pair(site, names, stored, read, (folder, base))
        wanted -= set(names)
    tables = {name for name in wanted if name.removeprefix(PREFIX) in _TABLES}
    wanted -= {name for name in tables if stored[name][0] == (config.vocab_size, config.hidden_size)}
    if wanted:
        name = min(wanted)
        raise UserError(
            f"{folder / WEIGHTS} has {name}, for which {base} has no place: the adapter is of another model "
            f"({said.get('base_model_name_or_path')})."
        )
    if not pairs:
        raise UserError(f"{folder / WEIGHTS} is empty: the adapter changes nothing.")
    return Adapter(settings, base_of(folder), pairs)


def _pair(
    site: Site, names: list[str], stored: Mapping[str, Stored], read: Any, where: tuple[Path, str]
) -> tuple[Tensor, Tensor]:
    """A and B of a site, stacked where it is. Raises UserError where they do not fit it."""
    *stack, outputs, inputs = site.shape
    experts = stack[0] if stack else 1
    if missing := [name for name in names if name not in stored]:
        raise UserError(f"{where[0] / WEIGHTS} lacks {missing[0]}; copy it again.")
    (a_shape, _), (b_shape, _) = (stored[name] for name in names)
    rank, left = divmod(a_shape[0], experts) if len(a_shape) == 2 else (0, 1)
    if left or not rank or a_shape[1] != inputs or b_shape != (outputs, rank * experts):
        raise UserError(
            f"{where[0] / WEIGHTS}: {names[0]} is {list(a_shape)} and its B {list(b_shape)}, which stands beside no "
            f"matrix of {list(site.shape)}, as {where[1]} has it: the adapter is of another model."
        )
    a, b = (read(name).float() for name in names)
    if not is_finite(a) or not is_finite(b):
        raise UserError(f"{where[0] / WEIGHTS}: {names[0]} or its B has numbers that are not finite; it is damaged.")
    if not stack:
        return a, b
    return a.view(experts, rank, inputs), b.view(outputs, rank, experts).permute(2, 0, 1).contiguous()


def _flat(tensor: Tensor, name: str) -> Tensor:
    """A or B as it is stored."""
    plain = tensor.detach().float().cpu()
    if plain.dim() == 2:
        return plain
    return plain.flatten(0, 1) if name == "lora_A" else plain.permute(1, 2, 0).flatten(1)


def _place(site: Site, adapted: Iterable[Site]) -> str:
    """The name of a site's adapter, without what comes before and after it."""
    if site.group != "experts":
        return site.name.removesuffix(".weight")
    module, _, leaf = site.name.rpartition(".")
    beside = [other.name for other in adapted if other.module == site.module]
    return module if leaf == "down_proj" or len(beside) == 1 else f"{module}.base_layer"


def _found_place(site: Site, stored: Mapping[str, Stored]) -> str | None:
    """Where a site's adapter is in a file, if it is there. Of two stacks their shapes say which is which."""
    if site.group != "experts":
        place = site.name.removesuffix(".weight")
        return place if any(f"{PREFIX}{place}.lora_{letter}.weight" in stored for letter in "AB") else None
    module, wanted = site.name.rpartition(".")[0], (site.shape[-2], site.shape[-1])
    for place in (module, f"{module}.base_layer"):
        names = [f"{PREFIX}{place}.lora_{letter}.weight" for letter in "AB"]
        (inputs, _), (outputs, _) = (stored.get(name, ((0, 0), "")) for name in names)
        if (outputs[0], inputs[-1]) == wanted:
            return place
    return None


def _config(adapter: Adapter, config: ModelConfig) -> dict[str, Any]:
    """adapter_config.json. In DeepSeek's models PEFT takes gate_proj, up_proj and down_proj for the experts' own,
    which transformers stacks; those of dense layers and shared experts are named as parameters, which stay so."""
    fused = {"gate_proj", "up_proj", "down_proj"} if config.is_mla or config.n_routed_experts else set[str]()
    modules, parameters = [], []
    for site in adapter.pairs:
        if site.is_parameter:
            parameters.append(site.name)
        elif site.leaf in fused:
            parameters.append(f"{site.name}.weight")
        else:
            modules.append(site.name)
    settings = adapter.settings
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": adapter.base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0 if parameters else settings.dropout,  # PEFT has none beside parameters; it is training's
        "use_rslora": settings.rslora,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(modules),
        "target_parameters": sorted(parameters) or None,
    }


def _settings(said: Mapping[str, Any], where: Path) -> LowRankSettings:
    """Raises UserError on what is no LoRA, or one of a kind that is computed in another way."""
    if said.get("peft_type") != "LORA":
        raise UserError(f"{where}: peft_type is {brief(said.get('peft_type'))}; adapters are read of LORA alone.")
    for key, usual in _OTHERWISE.items():
        if said.get(key) not in (usual, None, [], {}):
            raise UserError(
                f"{where}: {key} is {brief(said[key])}, which is not computed here; merge it in peft "
                "(merge_and_unload), and give the model that this makes."
            )
    rank, alpha = said.get("r"), said.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        raise UserError(f"{where}: r is {brief(rank)}; expected a rank from 1 on.")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not math.isfinite(alpha):
        raise UserError(f"{where}: lora_alpha is {brief(alpha)}; expected a number.")
    return LowRankSettings(rank, float(alpha), rslora=said.get("use_rslora") is True)
