"""A quantised matrix as compressed-tensors stores it, and what config.json says of a model's.

int8 and int4: `X.weight_packed`, four or eight codes in an int32, the first in its lowest bits, counted from -128 or
-8; `X.weight_scale` float16 [O, I / 32]; `X.weight_shape`. fp8: `X.weight` and `X.weight_scale` float32, one a block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from centime.ops.fp8 import scale_shape
from centime.ops.quantised import GROUP, Quantised

_BITS = {"int8": 8, "int4": 4}
Shapes = dict[str, tuple[tuple[int, ...], torch.dtype]]


def fits(inputs: int, kind: str) -> bool:
    """Whether a matrix of that many inputs can be stored so: groups are whole in this format."""
    return kind == "fp8" or inputs % GROUP == 0


def shapes_on_disk(name: str, shape: tuple[int, ...], kind: str, block: int) -> Shapes:
    """The tensors of a matrix [O, I] that is called `name` where it is plain."""
    outputs, inputs = shape
    if kind == "fp8":
        scales = scale_shape((outputs, inputs), block)
        return {name: (shape, torch.float8_e4m3fn), f"{name}_scale": (scales, torch.float32)}
    return {
        f"{name}_packed": ((outputs, inputs * _BITS[kind] // 32), torch.int32),
        f"{name}_scale": ((outputs, inputs // GROUP), torch.float16),
        f"{name}_shape": ((2,), torch.int64),
    }


def on_disk(name: str, matrix: Quantised) -> dict[str, Tensor]:
    """The same tensors, with what is in them."""
    scales = {f"{name}_scale": matrix.scales}
    if matrix.kind == "fp8":
        return {name: matrix.codes, **scales}
    codes = matrix.codes if matrix.kind == "int4" else matrix.codes.view(torch.uint8) ^ 128
    shape = torch.tensor([matrix.outputs, matrix.inputs])
    return {f"{name}_packed": codes.contiguous().view(torch.int32), **scales, f"{name}_shape": shape}


def quantization_config(kinds: Mapping[str, str | None], block: int) -> dict[str, Any]:
    """`quantization_config` of config.json. kinds: of each of the model's products, by name, None where it is plain.

    Names are patterns there, layers and experts being alike.
    """
    patterns = {f"re:{re.escape(pattern(name)).replace('<n>', '[0-9]+')}$": kind for name, kind in kinds.items()}
    used = sorted({kind for kind in kinds.values() if kind is not None})
    groups = {
        f"group_{number}": {
            "targets": [pattern for pattern, found in patterns.items() if found == kind],
            "weights": _weights(kind, block),
            "input_activations": None,
            "output_activations": None,
            "format": _format(kind),
        }
        for number, kind in enumerate(used)
    }
    formats = {_format(kind) for kind in used}
    return {
        "quant_method": "compressed-tensors",
        "format": formats.pop() if len(formats) == 1 else "mixed-precision",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [pattern for pattern, found in patterns.items() if found is None],
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def pattern(name: str) -> str:
    """What a matrix is called in all layers and experts: with <n> for numbers."""
    return re.sub(r"\.[0-9]+(?=\.)", ".<n>", name.removesuffix(".weight"))


def _format(kind: str) -> str:
    return "float-quantized" if kind == "fp8" else "pack-quantized"


def _weights(kind: str, block: int) -> dict[str, Any]:
    same = {"symmetric": True, "dynamic": False}
    if kind == "fp8":
        return {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [block, block], **same}
    return {"num_bits": _BITS[kind], "type": "int", "strategy": "group", "group_size": GROUP, **same}
