"""Quantised matrices of other programs' making, each read as the numbers that compressed-tensors itself reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.model.quantised.test_quantise import SHAPE
from tests.model.tiny import build, rewrite
from torch import Tensor

import centime
from centime.errors import UserError
from centime.ops.quantised import Quantised

# how a matrix is stored -> (weights of its config group, format), and what centime keeps it as
STORED: dict[str, tuple[dict[str, Any], str, str]] = {
    "w4a16": ({"num_bits": 4, "strategy": "group", "group_size": 32}, "pack-quantized", "int4"),
    "w4a16, groups of 64": ({"num_bits": 4, "strategy": "group", "group_size": 64}, "pack-quantized", "int4"),
    "w4a16, groups of 16": ({"num_bits": 4, "strategy": "group", "group_size": 16}, "pack-quantized", "int8"),
    "w4a16, rows": ({"num_bits": 4, "strategy": "channel"}, "pack-quantized", "int4"),
    "w4a16, asymmetric": (
        {"num_bits": 4, "strategy": "group", "group_size": 32, "symmetric": False},
        "pack-quantized",
        "int8",
    ),
    "w8a16": ({"num_bits": 8, "strategy": "group", "group_size": 32}, "pack-quantized", "int8"),
    "w8a16, asymmetric rows": ({"num_bits": 8, "strategy": "channel", "symmetric": False}, "pack-quantized", "int8"),
    "w8a8": ({"num_bits": 8, "strategy": "channel"}, "int-quantized", "int8"),
    "w8a8, one scale": ({"num_bits": 8, "strategy": "tensor"}, "int-quantized", "int8"),
    "fp8 blocks": (
        {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [32, 32]},
        "float-quantized",
        "fp8",
    ),
    "fp8 rows": ({"num_bits": 8, "type": "float", "strategy": "channel"}, "float-quantized", "int8"),
}


def compressed(weight: Tensor, args: dict[str, Any], form: str) -> tuple[dict[str, Tensor], Tensor]:
    """What compressed-tensors makes of a matrix, and what it reads of that."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
    O, I = weight.shape  # noqa: E741
    match args["strategy"]:
        case "tensor":
            parts = weight.view(1, 1, O * I)
        case "channel":
            parts = weight.view(O, 1, I)
        case "group":
            parts = weight.view(O, -1, args["group_size"])
        case "block":
            filled = torch.nn.functional.pad(weight, (0, -I % 32, 0, -O % 32))
            blocks = filled.unflatten(1, (-1, 32)).unflatten(0, (-1, 32))
            parts = blocks.transpose(1, 2).flatten(2)
    scale, zero = calculate_qparams(parts.amin(-1), parts.amax(-1), scheme.weights)
    if args["strategy"] == "tensor":
        scale, zero = scale.view(1), zero.view(1)
    state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
    compressor = BaseCompressor.get_value_from_registry(form)
    stored = compressor.compress(state, scheme)
    return stored, compressor.decompress(stored, scheme)["weight"].float()


@pytest.mark.parametrize("name", STORED)
@torch.no_grad()
def test_what_compressed_tensors_wrote(name: str, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    args, form, kind = STORED[name]
    centime.save(build(SHAPE), tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    meant = {}
    divide = args.get("group_size", 1)  # what they do not divide is left as it is
    for full in [name for name in tensors if name.endswith("_proj.weight") and tensors[name].shape[1] % divide == 0]:
        stored, meant[full] = compressed(tensors.pop(full), args, form)
        tensors |= {f"{full.removesuffix('weight')}{part}": tensor for part, tensor in stored.items()}
    rewrite(tmp_path / "m", tensors)
    say(tmp_path / "m", args, form)
    dense = centime.load(tmp_path / "m", dense=True).layers[0].ffn.gate_up[1]
    expected = meant["model.layers.0.mlp.up_proj.weight"]
    assert torch.allclose(dense, expected, atol=1e-6)
    kept = centime.load(tmp_path / "m")
    matrix = kept.layers[0].ffn.gate_up
    assert isinstance(matrix, Quantised)
    assert matrix.kind == kind
    exact = kind != "int8" or name in ("w8a16", "w8a8", "w8a8, one scale")  # else it is rounded once more, to int8
    off = (matrix.dense(torch.float32)[1] - expected).abs().max()
    assert off <= (1e-3 if exact else 1 / 127 / 1.9) * expected.abs().max()


def say(folder: Path, args: dict[str, Any], form: str, **settings: Any) -> None:
    raw = json.loads((folder / "config.json").read_text())
    group = {"targets": ["Linear"], "weights": {"type": "int", "symmetric": True, **args}}
    raw["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        **settings,
    }
    (folder / "config.json").write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("args", "form", "settings", "says"),
    [
        ({"num_bits": 3}, "pack-quantized", {}, r"group_0\.weights are \"int\" of 3 bits; centime reads int of 4 or 8"),
        ({"num_bits": 4, "type": "float"}, "float-quantized", {}, '"float" of 4 bits'),
        ({}, "nvfp4-pack-quantized", {}, r"format is .nvfp4-pack-quantized.; centime reads pack-quantized"),
        ({"strategy": "attn_head"}, "pack-quantized", {}, 'strategy is "attn_head"'),
        (
            {"type": "float", "strategy": "block", "block_structure": [64, 128]},
            "float-quantized",
            {},
            r"block_structure \[64, 128\]",
        ),
        ({}, "pack-quantized", {"transform_config": {"config_groups": {}}}, "transform_config is"),
        ({}, "pack-quantized", {"config_groups": {}}, "config_groups is {}"),
        ({}, "pack-quantized", {"config_groups": {"W4A16": ["Linear"]}}, "config_groups"),
    ],
)
def test_what_is_not_read_is_named(
    args: dict[str, Any], form: str, settings: dict[str, Any], says: str, tmp_path: Path
) -> None:
    centime.save(build(SHAPE), tmp_path / "m")
    say(tmp_path / "m", args, form, **settings)
    with pytest.raises(UserError, match=says):
        centime.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"weight_scale": None}, "has no scales; expected a tensor .*weight_scale beside it"),
        ({"weight_scale": torch.ones(64, 3)}, r"has scales \[64, 3\]; expected one, \[64, 1\], or 64 rows"),
        (
            {"weight_packed": torch.ones(64, 7, dtype=torch.int32)},
            r"packed in I32 \[64, 7\]; .* \[64, 40\] or",
        ),
        ({"weight_g_idx": torch.arange(160)}, "inputs in an order of their own"),
        ({"weight_scale": torch.full((64, 5), float("nan"))}, "not finite"),
    ],
)
def test_a_matrix_that_is_not_what_config_json_says(
    damage: dict[str, Tensor | None], says: str, source: Path, tmp_path: Path
) -> None:
    from centime.model.quantised.quantise import Formats, quantise_folder

    quantise_folder(source, tmp_path / "q", Formats("int4"))
    tensors = load_file(tmp_path / "q" / "model.safetensors")
    for part, tensor in damage.items():
        tensors.pop(f"model.layers.0.mlp.down_proj.{part}", None)
        if tensor is not None:
            tensors[f"model.layers.0.mlp.down_proj.{part}"] = tensor
    rewrite(tmp_path / "q", tensors)
    with pytest.raises(UserError, match=says):
        centime.load(tmp_path / "q")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return centime.save(build(SHAPE), tmp_path_factory.mktemp("source") / "m", dtype=torch.bfloat16)
