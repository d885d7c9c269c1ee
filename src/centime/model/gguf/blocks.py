"""GGUF's Q8_0 and Q4_0: the same codes and scales as int8 and int4, in another order.

A block is 32 inputs of a row: its scale, float16, then 32 bytes of int8; or 16 bytes, of which byte j holds code j in
its lower half and code j + 16 in its upper one (ggml's block_q8_0 and block_q4_0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from centime.ops.quantised import GROUP, Quantised
from centime.ops.quantised.matrix import in_bytes, nibbles

KIND_OF = {"Q8_0": "int8", "Q4_0": "int4"}
TYPE_OF = {kind: name for name, kind in KIND_OF.items()}
BLOCK_BYTES = {"int8": 2 + GROUP, "int4": 2 + GROUP // 2}


def to_blocks(matrix: Quantised) -> Tensor:
    """Matrices [..., O, I], I a multiple of 32, as uint8 [..., O, bytes]."""
    if matrix.kind == "int8":
        codes = matrix.codes.view(torch.uint8).unflatten(-1, (-1, GROUP))
    else:
        low, high = nibbles(matrix.codes).unflatten(-1, (-1, 2, GROUP // 2)).unbind(-2)
        codes = low | high << 4
    scales = matrix.scales.contiguous().view(torch.uint8).unflatten(-1, (-1, 2))
    return torch.cat((scales, codes), -1).flatten(-2)


def from_blocks(raw: Tensor, kind: str) -> Quantised:
    """The inverse of `to_blocks`."""
    blocks = raw.unflatten(-1, (-1, BLOCK_BYTES[kind]))
    scales = blocks[..., :2].contiguous().view(torch.float16)[..., 0]
    inside, inputs = blocks[..., 2:], scales.shape[-1] * GROUP
    if kind == "int8":
        return Quantised(inside.flatten(-2).contiguous().view(torch.int8), scales, kind, inputs)
    codes = torch.cat((inside & 15, inside >> 4), -1).flatten(-2)
    return Quantised(in_bytes(codes), scales, kind, inputs)
