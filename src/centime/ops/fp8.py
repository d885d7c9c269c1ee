"""DeepSeek's block-scaled FP8 weights: e4m3 numbers with one float32 scale for each square block.

README_WEIGHTS of DeepSeek-V3: `X.weight` holds the numbers, `X.weight_scale_inv` [ceil(rows / 128),
ceil(columns / 128)] what each block is multiplied by (despite its name). A matrix that 128 does not divide has smaller
blocks at its edges.

Letters of shapes: O rows (outputs) and I columns (inputs) of a matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128  # rows and columns of a block in what DeepSeek publishes
LARGEST = 448.0  # of e4m3


def scale_shape(shape: torch.Size | tuple[int, ...], block: int) -> tuple[int, int]:
    """The shape of the scales of an FP8 matrix of `shape`, rounded up at the edges."""
    rows, columns = shape
    return -(-rows // block), -(-columns // block)


def dequantize_blocks(weight_OI: Tensor, scale_inv: Tensor, block: int, out_OI: Tensor) -> Tensor:
    """out = weight * scale_inv, block by block; product in float32, stored in out's dtype and device. Returns out.

    weight is float8_e4m3fn [O, I], scale_inv float32 `scale_shape((O, I), block)`. Works a row of blocks at a time, so
    that the float32 copy is never larger than block x I. Raises ValueError when the scales' shape does not fit.
    """
    if tuple(scale_inv.shape) != scale_shape(weight_OI.shape, block):
        expected = scale_shape(weight_OI.shape, block)
        raise ValueError(f"scales {tuple(scale_inv.shape)} for {tuple(weight_OI.shape)}; expected {expected}")
    columns = weight_OI.shape[1]
    for row, scales in enumerate(scale_inv.float()):
        rows = slice(row * block, (row + 1) * block)
        out_OI[rows].copy_(weight_OI[rows].float() * scales.repeat_interleave(block)[:columns])
    return out_OI


def quantize_blocks(weight: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Matrices [..., O, I] as float8_e4m3fn of that shape, and scales float32 [..., ceil(O / block), ceil(I / block)].

    A block's scale is its largest magnitude over 448, the largest number of e4m3; 1 where all of it is 0.
    """
    outputs, inputs = weight.shape[-2:]
    filled = torch.nn.functional.pad(weight.detach().float(), (0, -inputs % block, 0, -outputs % block))
    blocks = filled.unflatten(-1, (-1, block)).unflatten(-3, (-1, block))  # [..., rows, block, columns, block]
    scales = blocks.abs().amax((-3, -1)) / LARGEST
    scales = torch.where(scales == 0, 1.0, scales)
    codes = (blocks / scales[..., :, None, :, None]).to(torch.float8_e4m3fn)
    return codes.flatten(-2).flatten(-3, -2)[..., :outputs, :inputs].contiguous(), scales
