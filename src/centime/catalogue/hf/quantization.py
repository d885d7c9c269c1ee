"""`quantization_config` of a config.json: in what way its matrices are stored, where centime reads that way.

DeepSeek's block-scaled FP8, and compressed-tensors: whole numbers of 4 and 8 bits and FP8, with a scale for a matrix, a
row, a group of inputs or a square block, packed or not. Which of these a matrix is, its tensors say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from centime.errors import UserError
from centime.json_files import brief

_Word = Annotated[str, Field(strict=True, max_length=200)]
_Block = list[Annotated[int, Field(strict=True, ge=1, le=2**16)]]
_FORMATS = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mixed-precision")
_STRATEGIES = ("tensor", "channel", "group", "block")
_OFF: tuple[Any, ...] = (None, False, {}, [])


class _StoredWeights(BaseModel):
    """How the matrices of a group are stored, by compressed-tensors' names."""

    model_config = ConfigDict(extra="allow")

    num_bits: Annotated[int, Field(strict=True)] = 8
    type: _Word = "int"
    strategy: _Word | None = None
    block_structure: _Block | None = None


class _ConfigGroup(BaseModel):
    model_config = ConfigDict(extra="allow")

    weights: _StoredWeights | None = None
    format: _Word | None = None


class Quantization(BaseModel):
    """`quantization_config`. Its other keys say how activations are quantised, which centime does not do."""

    model_config = ConfigDict(extra="allow")

    quant_method: _Word | None = None
    fmt: _Word | None = None
    weight_block_size: _Block | None = None
    format: _Word | None = None
    config_groups: dict[str, _ConfigGroup] | None = None


@dataclass(frozen=True)
class WeightStorage:
    """method: quant_method; block: rows and columns of one of its square blocks, None where no matrix has blocks."""

    method: str
    block: int | None


def quantization(raw: Mapping[str, Any], where: str = "config.json") -> WeightStorage | None:
    """How quantised matrices are stored, None where all are plain; of a file of right types. Raises UserError."""
    settings = raw.get("quantization_config")
    if not settings:
        return None
    if settings.get("quant_method") == "compressed-tensors":
        return _compressed(settings, f"{where}: quantization_config")
    block = settings.get("weight_block_size")
    if settings.get("quant_method") != "fp8" or not _square(block):
        raise UserError(
            f"{where} is quantised by {brief(settings.get('quant_method'))} with weight_block_size {brief(block)}; "
            "centime reads DeepSeek's block-scaled fp8 (one square block size), compressed-tensors, and plain bf16, "
            "fp16 or fp32 weights."
        )
    if settings.get("fmt") not in (None, "e4m3"):
        raise UserError(f"{where}: quantization_config.fmt is {brief(settings['fmt'])}; centime reads 'e4m3'.")
    return WeightStorage("fp8", int(block[0]))


def _compressed(settings: Mapping[str, Any], where: str) -> WeightStorage:
    for key in ("sparsity_config", "transform_config"):
        if settings.get(key) not in _OFF:
            raise UserError(f"{where}.{key} is {brief(settings[key])}; centime reads matrices without it.")
    groups = settings.get("config_groups")
    if not groups:
        raise UserError(f"{where}.config_groups is {brief(groups)}; expected how the matrices are stored.")
    blocks = {_block(group, settings, f"{where}.config_groups.{name}") for name, group in groups.items()} - {None}
    if len(blocks) > 1:
        sizes = " and ".join(map(str, sorted(blocks)))  # type: ignore[type-var]
        raise UserError(f"{where} has blocks of {sizes}; centime reads one size in a model.")
    return WeightStorage("compressed-tensors", *blocks or [None])


def _block(group: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> int | None:
    """The side of a group's blocks, None where it has none; UserError for what is not read."""
    stored = group.get("format") or settings.get("format")
    if stored not in _FORMATS:
        raise UserError(f"{where}.format is {brief(stored)}; centime reads {', '.join(_FORMATS)}.")
    weights = group.get("weights")
    if not weights:
        return None
    bits, kind, strategy = weights.get("num_bits", 8), weights.get("type", "int"), weights.get("strategy")
    if (kind, bits) not in (("int", 4), ("int", 8), ("float", 8)):
        raise UserError(
            f"{where}.weights are {brief(kind)} of {brief(bits)} bits; centime reads int of 4 or 8, and float of 8."
        )
    if strategy is not None and strategy not in _STRATEGIES:
        raise UserError(f"{where}.weights.strategy is {brief(strategy)}; centime reads {', '.join(_STRATEGIES)}.")
    if strategy != "block":
        return None
    block = weights.get("block_structure")
    if kind != "float" or not _square(block):
        raise UserError(
            f"{where}.weights have block_structure {brief(block)} of {brief(kind)}; centime reads square blocks of "
            "float."
        )
    return int(block[0])


def _square(block: Any) -> bool:
    return isinstance(block, list) and len(block) == 2 and len(set(block)) == 1
