"""A model's folder, opened: all that can be said before a weight is read, and the weights one at a time."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centime.catalogue.hf import config as hf_config
from centime.catalogue.hf import quantization
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.model.decoder import Transformer
from centime.model.matching import check_shape, match_names, target
from centime.model.names import Slot
from centime.model.quantised.stored import StoredMatrix, check_quantised, quantised_parts
from centime.model.tensor_files import Stored, TensorFiles
from centime.ops.finite import is_finite
from centime.ops.quantised import Quantised, quantise

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Get = Callable[[str], Tensor]  # a tensor of a folder by its name


def dtype_of(raw: Mapping[str, Any]) -> torch.dtype:
    """The type that a config.json states, float32 where it states none."""
    return _DTYPES[str(raw.get("dtype") or raw.get("torch_dtype") or "float32").removeprefix("torch.")]


class StoredModel:
    """The model in `folder`, its names, shapes and types checked by the headers of its files.

    Raises UserError when a tensor is missing, unexpected or of the wrong shape or type, and when a file is absent or
    damaged.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; a model is a folder with config.json and .safetensors files.")
        config, raw = hf_config.read(folder)
        self.folder, self.files = folder, TensorFiles(folder)
        self.config = _without_absent_mtp(config, self.files)
        self.dtype = dtype_of(raw)
        self.present = self.files.describe()
        self.parts, beside = quantised_parts(self.present)
        whole = {name: found for name, found in self.present.items() if name not in beside}
        for name, part in self.parts.items():
            whole[name] = whole.pop(part.codes)
            self.files.file_of[name] = self.files.file_of[part.codes]
        self.wanted, self.repeated = match_names(self.config, whole, self.files)
        with torch.device("meta"):
            self.empty = Transformer(self.config)
        self._storage = quantization(raw, str(folder / "config.json"))
        self.block = (self._storage and self._storage.block) or 0  # rows and columns of a block of FP8
        self.matrices = self._check(whole)

    def _check(self, whole: dict[str, Stored]) -> dict[str, StoredMatrix]:
        state, found = self.empty.state_dict(), {}
        for name, slot in {**self.wanted, **self.repeated}.items():
            expected = tuple(target(state, slot).shape)
            if name in self.parts:
                found[name] = check_quantised(self.where(name), self.parts[name], expected, self.present, self._storage)
            else:
                check_shape(self.where(name), expected, whole[name])
        return found

    def shapes(self) -> dict[str, torch.Size]:
        """The shape of each of the model's tensors, by the model's own names."""
        return {name: tensor.shape for name, tensor in self.empty.state_dict().items()}

    def where(self, name: str) -> str:
        """A tensor and its file, as a sentence begins."""
        return f"{name} in {self.folder / self.files.file_of[name]}"

    def kinds(self, plain: str | None = None) -> dict[str, str]:
        """What each of the model's tensors whose parts are all quantised is kept as, by the model's own names.

        Parts of several kinds become int8, the finest. Left out: embedding and routers, which are not multiplied so.
        plain: what matrices that are stored plain are kept as; the head stays plain then.
        """
        found: dict[str, set[str | None]] = defaultdict(set)
        shapes = self.shapes()
        for name, slot in self.wanted.items():
            rounded = plain if slot.ours != "head.weight" and len(shapes[slot.ours]) > 1 else None
            found[slot.ours].add(self.matrices[name].kind if name in self.matrices else rounded)
        return {
            ours: kinds.pop() if len(kinds) == 1 else "int8"  # type: ignore[misc]
            for ours, kinds in found.items()
            if None not in kinds and ours != "embed.weight" and not ours.endswith("router.weight")
        }

    def each(self) -> Iterator[tuple[str, Slot, Get]]:
        """Every tensor to read, file by file: its name, its place, and what reads tensors while it is looked at."""
        for file, names in self.files.by_file([*self.wanted]).items():
            with self.files.open(file) as handle:
                for name in names:
                    yield name, self.wanted[name], self.getter(file, handle)

    def getter(self, file: str, handle: Any) -> Get:
        """What reads tensors while `handle`, of one of the files, is open."""

        def get(name: str) -> Tensor:
            other = self.files.file_of[name]  # an index may put scales into another shard
            if other == file:
                return handle.get_tensor(name)  # type: ignore[no-any-return]
            with self.files.open(other) as opened:
                return opened.get_tensor(name)  # type: ignore[no-any-return]

        return get

    def plain(self, name: str, get: Get) -> Tensor:
        """A tensor as numbers, whatever it is stored in. Raises UserError where it is not finite."""
        found = self.matrices[name].dense(get) if name in self.matrices else get(name)
        if not is_finite(found):
            raise self._not_finite(name)
        return found

    def fill(self, place: Tensor, name: str, get: Get) -> None:
        """Reads a tensor into a part of the model's. Raises UserError where it is not finite, in the file or there."""
        found = self.plain(name, get)
        place.copy_(found)
        if not is_finite(place):
            kind = str(place.dtype).removeprefix("torch.")
            raise UserError(
                f"{self.where(name)} has numbers that are too large for {kind}; load it as float32 or bfloat16."
            )

    def fill_quantised(self, place: Quantised, name: str, get: Get) -> None:
        """The same of a quantised one, which is never a whole matrix of plain numbers where its kind is stored; what is
        stored plain is rounded."""
        if name in self.matrices:
            found = self.matrices[name].read(get, place.kind)
        else:
            found = quantise(self.plain(name, get).view(*place.shape[:-1], place.inputs), place.kind, place.block)
        if not is_finite(found.scales) or not is_finite(found.codes):
            raise self._not_finite(name)
        place.codes.copy_(found.codes)
        place.scales.copy_(found.scales)

    def check_copy(self, main: Tensor, name: str) -> None:
        """Raises UserError where a tensor that repeats another is not the same as that."""
        numbers = main.dense(torch.float32) if isinstance(main, Quantised) else main
        with self.files.open(self.files.file_of[name]) as handle:
            if torch.equal(self.plain(name, self.getter(self.files.file_of[name], handle)).to(numbers), numbers):
                return
        if name == "lm_head.weight":
            raise UserError(
                f"{self.where(name)} differs from the embedding, and tie_word_embeddings = true in config.json makes "
                "them one; set that to false if the head is the model's own, or remove the tensor."
            )
        raise UserError(
            f"{self.where(name)} differs from the main model's tensor; centime's MTP modules share the embedding and "
            "the head, as DeepSeek-V3's do."
        )

    def _not_finite(self, name: str) -> UserError:
        return UserError(
            f"{self.where(name)} holds numbers that are not finite (NaN or infinity); the model is damaged."
        )


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
        stacklevel=4,
    )
    return config.model_copy(update={"num_nextn_predict_layers": 0})
