"""A GGUF file as a model: architecture `deepseek2`, `llama`, `qwen2` or `qwen3`.

Q8_0 and Q4_0 matrices keep their codes and scales; other types that the gguf package can decode become int8. W_UK and
W_UV, which such files hold apart and the one transposed, become numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centime.errors import UserError
from centime.files.gguf_file import read_gguf
from centime.model.allocate import allocate
from centime.model.decoder import Transformer
from centime.model.gguf.architecture import architecture_of
from centime.model.gguf.blocks import KIND_OF, from_blocks
from centime.model.gguf.sizes import config_of
from centime.model.gguf.tensors import ROPE_FACTORS, tensors_by_llama_cpp
from centime.ops.finite import is_finite
from centime.ops.quantised import Quantised, quantise

# what a layer's matrices are called there -> here, where a product may read codes
_PRODUCTS = {
    "attn_q": "attention.q.weight", "attn_q_a": "attention.q_down.weight", "attn_q_b": "attention.q_up.weight",
    "attn_kv_a_mqa": "attention.kv_down.weight", "attn_output": "attention.out.weight",
    "attn_k": "attention.k.weight", "attn_v": "attention.v.weight",
    "ffn_gate": "ffn.gate_up", "ffn_up": "ffn.gate_up", "ffn_down": "ffn.down",
    "ffn_gate_exps": "ffn.experts.gate_up", "ffn_up_exps": "ffn.experts.gate_up", "ffn_down_exps": "ffn.experts.down",
    "ffn_gate_shexp": "ffn.shared.gate_up", "ffn_up_shexp": "ffn.shared.gate_up", "ffn_down_shexp": "ffn.shared.down",
}  # fmt: skip
_PLAIN = ("F32", "F16", "BF16")


def load_gguf(
    path: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu", *, dense: bool = False
) -> Transformer:
    """The model in the file `path`; as `centime.load` says of folders. `dtype` None is bfloat16.

    Raises UserError where the gguf package is absent, and for a file that is damaged or holds another model.
    """
    fields, tensors = read_gguf(path)
    found = {tensor.name: tensor for tensor in tensors}
    config = config_of(fields, found, where=str(path))
    found.pop(ROPE_FACTORS, None)  # which follow from the sizes
    with torch.device("meta"):
        empty = Transformer(config)
    _check(path, empty, found)
    model = allocate(empty, {} if dense else _kinds(found), 0, dtype or torch.bfloat16, device)
    with torch.no_grad():
        for name, place in _places(model):
            _fill(place, found[name], f"{name} in {path}")
        if architecture_of(config) == "llama":
            _in_halves(model)
    return model


def _check(path: Path, empty: Transformer, found: Mapping[str, Any]) -> None:
    """Raises UserError unless the file has the tensors of its own sizes, no more, in types that can be read."""
    expected = {name: tuple(tensor.shape) for name, tensor in _places(empty)}
    for missing in [name for name in expected if name not in found][:1]:
        raise UserError(f"{path} lacks {missing}, which its sizes call for; copy it again.")
    for name, tensor in found.items():
        if name not in expected:
            raise UserError(f"{path} holds {name}, which a model of its sizes has no place for.")
        shape = _shape(tensor)
        if shape != expected[name]:
            raise UserError(f"{name} in {path} has shape {list(shape)}; its sizes make it {list(expected[name])}.")


def _places(model: Transformer) -> Iterator[tuple[str, Tensor]]:
    """The model's tensors under the file's names; computed ones left out."""
    return ((name, place) for name, place in tensors_by_llama_cpp(model, in_pairs=True) if name != ROPE_FACTORS)


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in reversed(tensor.shape))


def _kinds(found: Mapping[str, Any]) -> dict[str, str]:
    """Kinds of our tensors, by our names; those of several types are int8, the finest."""
    kinds: dict[str, set[str | None]] = {}
    for name, tensor in found.items():
        parts = name.split(".")
        if name == "output.weight":
            ours = "head.weight"
        elif parts[0] == "blk" and parts[2] in _PRODUCTS and parts[3] == "weight":
            ours = f"layers.{parts[1]}.{_PRODUCTS[parts[2]]}"
        else:
            continue
        stored = tensor.tensor_type.name
        kinds.setdefault(ours, set()).add(None if stored in _PLAIN else KIND_OF.get(stored, "int8"))
    return {ours: kind.pop() if len(kind) == 1 else "int8" for ours, kind in kinds.items() if None not in kind}  # type: ignore[misc]


def _fill(place: Tensor, tensor: Any, where: str) -> None:
    """Reads one tensor. Raises UserError where it is not finite, or of a type that nobody here decodes."""
    stored = tensor.tensor_type.name
    kind = KIND_OF.get(stored)
    raw = torch.from_numpy(tensor.data)
    if isinstance(place, Quantised):
        matrix = from_blocks(raw, kind) if kind == place.kind else quantise(_numbers(tensor, where), place.kind)
        if not is_finite(matrix.scales):
            raise UserError(f"{where} holds numbers that are not finite (NaN or infinity); the file is damaged.")
        place.codes.copy_(matrix.codes)
        place.scales.copy_(matrix.scales)
        return
    place.copy_(from_blocks(raw, kind).dense(torch.float32) if kind else _numbers(tensor, where))
    if not is_finite(place):
        raise UserError(f"{where} holds numbers that are not finite (NaN or infinity) in {place.dtype}.")


def _numbers(tensor: Any, where: str) -> Tensor:
    import gguf

    stored = tensor.tensor_type.name
    if stored == "BF16":
        return torch.from_numpy(tensor.data).view(torch.bfloat16).view(_shape(tensor))
    if stored in ("F32", "F16"):
        return torch.from_numpy(tensor.data)
    try:
        return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    except NotImplementedError:
        raise UserError(
            f"{where} is of type {stored}, which the gguf package does not decode; centime reads Q8_0 and Q4_0."
        ) from None


def _in_halves(model: Transformer) -> None:
    """Rows of queries and keys back in the order (i, i + R / 2) that Llama's heads are rotated in, biases too."""
    heads = {"q": model.config.num_attention_heads, "k": model.config.kv_heads}
    for name, weight in model.weights().items():
        *_, module, _leaf = name.split(".")
        if ".attention." in name and module in heads:
            for rows in (weight.codes, weight.scales) if isinstance(weight, Quantised) else (weight,):
                rows.copy_(rows.unflatten(0, (heads[module], -1, 2)).transpose(1, 2).flatten(0, 2).clone())
