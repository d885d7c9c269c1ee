"""Products of FP8 numbers with a scale for each stretch of 128 inputs (DeepSeek-V3 report, section 3.3.2).

Activations have a scale a row and 128 inputs, weights one a block of 128 x 128. A tensor core adds up 128 inputs at a
time; each such sum is scaled and promoted to a float32 accumulator outside of it (figure 7b), since Hopper's own keeps
some 14 bits.

Letters of shapes: T rows, O outputs, I inputs, G = ceil(I / 128) stretches of inputs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from centime.ops.fp8 import BLOCK, LARGEST

_ROWS, _OUTPUTS = 64, 128  # of a tile


def quantise_rows_reference(x_TI: Tensor) -> tuple[Tensor, Tensor]:
    """e4m3 numbers [T, I] and scales float32 [T, G]: a stretch's largest magnitude over 448; 1 where all of it is 0."""
    T, inputs = x_TI.shape
    stretches = torch.nn.functional.pad(x_TI.float(), (0, -inputs % BLOCK)).view(T, -1, BLOCK)
    scales = stretches.abs().amax(-1) / LARGEST
    scales = torch.where(scales == 0, 1.0, scales)
    return (stretches / scales[..., None]).view(T, -1)[:, :inputs].to(torch.float8_e4m3fn), scales


def quantise_rows(x_TI: Tensor) -> tuple[Tensor, Tensor]:
    """The same in one pass over x."""
    T, inputs = x_TI.shape
    stretches = triton.cdiv(inputs, BLOCK)
    codes = torch.empty(T, inputs, dtype=torch.float8_e4m3fn, device=x_TI.device)
    scales = torch.empty(T, stretches, dtype=torch.float32, device=x_TI.device)
    if T:
        _quantise_rows[T, stretches](x_TI, codes, scales, inputs, x_TI.stride(0), stretches, LARGEST, BLOCK)
    return codes, scales


@triton.jit
def _quantise_rows(x, codes, scales, inputs, x_row, stretches, LARGEST: tl.constexpr, BLOCK: tl.constexpr):
    row, stretch = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = stretch * BLOCK + tl.arange(0, BLOCK)
    numbers = tl.load(x + row * x_row + place, mask=place < inputs, other=0.0).to(tl.float32)
    scale = tl.max(tl.abs(numbers)) / LARGEST
    scale = tl.where(scale == 0, 1.0, scale)
    tl.store(codes + row * inputs + place, (numbers / scale).to(codes.dtype.element_ty), mask=place < inputs)
    tl.store(scales + row * stretches + stretch, scale)


def fp8_linear_reference(x: Tensor, x_scales: Tensor, weight: Tensor, weight_scales: Tensor) -> Tensor:
    """x [T, I] times W^T, W [O, I], both as the numbers they stand for, in float32 -> [T, O]."""
    outputs, inputs = weight.shape
    numbers_TI = x.float() * x_scales.repeat_interleave(BLOCK, 1)[:, :inputs]
    spread = weight_scales.repeat_interleave(BLOCK, 0)[:outputs].repeat_interleave(BLOCK, 1)[:, :inputs]
    return numbers_TI @ (weight.float() * spread).t()


def fp8_linear(x: Tensor, x_scales: Tensor, weight: Tensor, weight_scales: Tensor, dtype: torch.dtype) -> Tensor:
    """The same on tensor cores: e4m3 x [T, I] with scales [T, G], W [O, I] with scales [ceil(O / 128), G] -> [T, O]."""
    (T, inputs), outputs = x.shape, weight.shape[0]
    y = torch.empty(T, outputs, dtype=dtype, device=x.device)
    grid = (triton.cdiv(T, _ROWS) * triton.cdiv(outputs, _OUTPUTS),)
    if T:
        _fp8_linear[grid](
            *(
                x,
                x_scales,
                weight,
                weight_scales,
                y,
                T,
                outputs,
                inputs,
                x.stride(0),
                weight.stride(0),
                x_scales.stride(0),
            ),
            *(weight_scales.stride(0), _ROWS, _OUTPUTS, BLOCK),
            num_warps=8,
            num_stages=4,
        )
    return y


@triton.jit
def _fp8_linear(
    x,
    x_scales,
    weight,
    weight_scales,
    y,
    T,
    outputs,
    inputs,
    x_row,
    weight_row,
    x_scales_row,
    weight_scales_row,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row_tile, output_tile = tile_of(tl.program_id(0), tl.cdiv(T, ROWS), tl.cdiv(outputs, OUTPUTS))
    rows = row_tile * ROWS + tl.arange(0, ROWS)
    total = scaled_product(
        *(x, x_scales, weight, weight_scales, rows, rows < T, output_tile, outputs, inputs, x_row, weight_row),
        *(x_scales_row, weight_scales_row, ROWS, OUTPUTS, BLOCK),
    )
    of_output = output_tile * OUTPUTS + tl.arange(0, OUTPUTS)
    inside = (rows < T)[:, None] & (of_output < outputs)[None, :]
    tl.store(y + rows.to(tl.int64)[:, None] * outputs + of_output[None, :], total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def scaled_product(
    x,
    x_scales,
    weight,
    weight_scales,
    rows,
    row_is,
    output_tile,
    outputs,
    inputs,
    x_row,
    weight_row,
    x_scales_row,
    weight_scales_row,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x[rows] times a tile of W^T -> float32 [ROWS, OUTPUTS]; rows that are not (`row_is` false) are zeros."""
    of_output = output_tile * OUTPUTS + tl.arange(0, OUTPUTS)
    of_input = tl.arange(0, BLOCK)
    is_output = of_output < outputs
    x_at = x + rows.to(tl.int64)[:, None] * x_row + of_input[None, :]
    weight_at = weight + of_output.to(tl.int64)[:, None] * weight_row + of_input[None, :]
    scales_at = weight_scales + (of_output // BLOCK) * weight_scales_row
    total = tl.zeros((ROWS, OUTPUTS), dtype=tl.float32)
    for stretch in range(0, tl.cdiv(inputs, BLOCK)):
        is_input = of_input < inputs - stretch * BLOCK
        x_tile = tl.load(x_at + stretch * BLOCK, mask=row_is[:, None] & is_input[None, :], other=0.0)
        w_tile = tl.load(weight_at + stretch * BLOCK, mask=is_output[:, None] & is_input[None, :], other=0.0)
        x_scale = tl.load(x_scales + rows.to(tl.int64) * x_scales_row + stretch, mask=row_is, other=0.0)
        w_scale = tl.load(scales_at + stretch, mask=is_output, other=0.0)
        total += tl.dot(x_tile, tl.trans(w_tile)) * x_scale[:, None] * w_scale[None, :]
    return total


@triton.jit
def tile_of(program, row_tiles, output_tiles):
    """(row tile, output tile) of a program: eight row tiles share the outputs they read before the next are begun."""
    TOGETHER: tl.constexpr = 8
    band = program // (TOGETHER * output_tiles)
    first = band * TOGETHER
    tall = tl.minimum(row_tiles - first, TOGETHER)
    within = program % (TOGETHER * output_tiles)
    return first + within % tall, within // tall
