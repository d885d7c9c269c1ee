"""Products of rows sorted by expert with the matrices of their experts, many in one launch.

Rows stand in tiles of ROWS, each of one expert (a `TilePlan`); how many tiles there are is known without asking the
GPU, which is what lets a step be recorded as a graph.

Letters of shapes: T tokens, K experts of each, P rows in tiles, E experts, O outputs and I inputs of a matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from centime.ops.fp8 import BLOCK
from centime.ops.gpu.fp8 import scaled_product, tile_of

ROWS, _OUTPUTS, _INPUTS = 64, 128, 64  # of a tile


class TilePlan(NamedTuple):
    """Where each (token, choice) pair stands among the rows, and whose the tiles are."""

    pair_P: Tensor  # int64 [P], the pair t * K + k in each row; -1: nobody's
    row_TK: Tensor  # int64 [T * K], the row of each pair
    expert_of_tile: Tensor  # int32 [P / ROWS]; -1: nobody's
    starts_E: Tensor  # int64 [E], an expert's first row
    ends_E: Tensor  # int64 [E], one past its last row that is a pair's


def plan_tiles(expert_ids_TK: Tensor, experts: int) -> TilePlan:
    """The pairs sorted by expert, each expert's from a multiple of ROWS on. Nothing here waits for the GPU."""
    flat, device = expert_ids_TK.flatten(), expert_ids_TK.device
    pairs = flat.numel()
    sorted_ids, order = flat.sort(stable=True)
    ends = torch.searchsorted(sorted_ids, torch.arange(experts, device=device), right=True)
    counts = ends.diff(prepend=ends.new_zeros(1))
    tiles = (counts + ROWS - 1) // ROWS
    last_tile = tiles.cumsum(0)
    starts = (last_tile - tiles) * ROWS
    rows = torch.arange(pairs, device=device) + (starts - (ends - counts))[sorted_ids]
    most = triton.cdiv(pairs, ROWS) + min(experts, pairs)  # every expert's last tile may be all but empty
    pair_P = torch.full((most * ROWS,), -1, dtype=torch.int64, device=device).index_copy_(0, rows, order)
    row_TK = torch.empty_like(order).index_copy_(0, order, rows)
    expert = torch.searchsorted(last_tile, torch.arange(most, device=device), right=True)
    return TilePlan(pair_P, row_TK, torch.where(expert < experts, expert, -1).int(), starts, starts + counts)


def grouped_linear_reference(x: Tensor, row_P: Tensor, weight_EOI: Tensor, plan: TilePlan) -> Tensor:
    """y[p] = x[row_P[p]] times its expert's W^T -> [P, O]; zeros where row_P is negative."""
    y = x.new_zeros(len(row_P), weight_EOI.shape[1])
    for tile, expert in enumerate(plan.expert_of_tile.tolist()):
        rows = slice(tile * ROWS, (tile + 1) * ROWS)
        if expert >= 0:
            real = row_P[rows] >= 0
            y[rows] = torch.where(real[:, None], x[row_P[rows].clamp(min=0)] @ weight_EOI[expert].t(), 0)
    return y


def grouped_linear(x: Tensor, row_P: Tensor, weight_EOI: Tensor, plan: TilePlan) -> Tensor:
    """The same in one launch. `weight_EOI` may be a transposed view: the gradient of x is a product with W itself.

    Rows of tiles that are nobody's are left as they were allocated.
    """
    outputs, inputs = weight_EOI.shape[1:]
    y = x.new_empty(len(row_P), outputs)
    tiles = len(plan.expert_of_tile)
    if tiles:
        _grouped_linear[tiles * triton.cdiv(outputs, _OUTPUTS),](
            *(x, row_P, weight_EOI, y, plan.expert_of_tile, tiles, outputs, inputs, x.stride(0), *weight_EOI.stride()),
            *(ROWS, _OUTPUTS, _INPUTS),
            num_warps=8,
            num_stages=4,
        )
    return y


@triton.jit
def _grouped_linear(
    x,
    row_P,
    weight,
    y,
    expert_of_tile,
    tiles,
    outputs,
    inputs,
    x_row,
    weight_expert,
    weight_output,
    weight_input,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    tile, output_tile = tile_of(tl.program_id(0), tiles, tl.cdiv(outputs, OUTPUTS))
    expert = tl.load(expert_of_tile + tile)
    if expert >= 0:
        places = tile * ROWS + tl.arange(0, ROWS)
        rows = tl.load(row_P + places)
        of_output, of_input = output_tile * OUTPUTS + tl.arange(0, OUTPUTS), tl.arange(0, INPUTS)
        x_at = x + rows[:, None] * x_row + of_input[None, :]
        of_expert = weight + expert.to(tl.int64) * weight_expert
        weight_at = of_expert + of_output.to(tl.int64)[None, :] * weight_output + of_input[:, None] * weight_input
        total = tl.zeros((ROWS, OUTPUTS), dtype=tl.float32)
        for first in range(0, inputs, INPUTS):
            is_input = of_input < inputs - first
            x_tile = tl.load(x_at + first, mask=(rows >= 0)[:, None] & is_input[None, :], other=0.0)
            w_tile = tl.load(
                weight_at + first * weight_input, mask=(of_output < outputs)[None, :] & is_input[:, None], other=0.0
            )
            total = tl.dot(x_tile, w_tile, total, input_precision="ieee")
        at = y + places.to(tl.int64)[:, None] * outputs + of_output[None, :]
        tl.store(at, total.to(y.dtype.element_ty), mask=(of_output < outputs)[None, :])


def grouped_fp8_linear(
    x: Tensor, x_scales: Tensor, row_P: Tensor, weights: tuple[Tensor, Tensor], plan: TilePlan, dtype: torch.dtype
) -> Tensor:
    """The same product of e4m3 numbers: x with scales [., ceil(I / 128)], weights [E, O, I] with scales
    [E, ceil(O / 128), ceil(I / 128)] (`ops.gpu.fp8`) -> [P, O] of `dtype`."""
    codes, scales = weights
    outputs, inputs = codes.shape[1:]
    y = torch.empty(len(row_P), outputs, dtype=dtype, device=x.device)
    tiles = len(plan.expert_of_tile)
    if tiles:
        _grouped_fp8_linear[tiles * triton.cdiv(outputs, _OUTPUTS),](
            *(x, x_scales, row_P, codes, scales, y, plan.expert_of_tile, tiles, outputs, inputs, x.stride(0)),
            *(codes.stride(0), codes.stride(1), x_scales.stride(0), scales.stride(0), scales.stride(1)),
            *(ROWS, _OUTPUTS, BLOCK),
            num_warps=8,
            num_stages=3,
        )
    return y


@triton.jit
def _grouped_fp8_linear(
    x,
    x_scales,
    row_P,
    weight,
    weight_scales,
    y,
    expert_of_tile,
    tiles,
    outputs,
    inputs,
    x_row,
    weight_expert,
    weight_row,
    x_scales_row,
    weight_scales_expert,
    weight_scales_row,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    tile, output_tile = tile_of(tl.program_id(0), tiles, tl.cdiv(outputs, OUTPUTS))
    expert = tl.load(expert_of_tile + tile).to(tl.int64)
    if expert >= 0:
        places = tile * ROWS + tl.arange(0, ROWS)
        rows = tl.load(row_P + places)
        total = scaled_product(
            *(x, x_scales, weight + expert * weight_expert, weight_scales + expert * weight_scales_expert),
            *(rows, rows >= 0, output_tile, outputs, inputs, x_row, weight_row, x_scales_row, weight_scales_row),
            *(ROWS, OUTPUTS, BLOCK),
        )
        of_output = output_tile * OUTPUTS + tl.arange(0, OUTPUTS)
        at = y + places.to(tl.int64)[:, None] * outputs + of_output[None, :]
        tl.store(at, total.to(y.dtype.element_ty), mask=(of_output < outputs)[None, :])


def grouped_outer_reference(a_PO: Tensor, x: Tensor, row_P: Tensor, plan: TilePlan) -> Tensor:
    """Each expert's sum over its rows of a[p]^T x[row_P[p]] -> [E, O, I]: the gradient of its matrix."""
    parts = []
    for start, end in zip(plan.starts_E.tolist(), plan.ends_E.tolist(), strict=True):
        parts.append(a_PO[start:end].t() @ x[row_P[start:end]])
    return torch.stack(parts)


def grouped_outer(a_PO: Tensor, x: Tensor, row_P: Tensor, plan: TilePlan) -> Tensor:
    """The same in one launch; each element is added up by one program, in the order of the rows."""
    E, outputs, inputs = len(plan.starts_E), a_PO.shape[1], x.shape[1]
    out = a_PO.new_empty(E, outputs, inputs)
    _grouped_outer[E, triton.cdiv(outputs, _OUTPUTS), triton.cdiv(inputs, _OUTPUTS)](
        *(a_PO, x, row_P, out, plan.starts_E, plan.ends_E, outputs, inputs, a_PO.stride(0), x.stride(0)),
        *(ROWS, _OUTPUTS, _OUTPUTS),
        num_warps=8,
        num_stages=3,
    )
    return out


@triton.jit
def _grouped_outer(
    a,
    x,
    row_P,
    out,
    starts,
    ends,
    outputs,
    inputs,
    a_row,
    x_row,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    expert = tl.program_id(0)
    of_output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    of_input = tl.program_id(2) * INPUTS + tl.arange(0, INPUTS)
    is_output, is_input = of_output < outputs, of_input < inputs
    start, end = tl.load(starts + expert), tl.load(ends + expert)
    total = tl.zeros((OUTPUTS, INPUTS), dtype=tl.float32)
    for first in range(start, end, ROWS):
        places = first + tl.arange(0, ROWS)
        is_row = places < end
        rows = tl.load(row_P + places, mask=is_row, other=0)
        a_at, x_at = a + places[None, :] * a_row + of_output[:, None], x + rows[:, None] * x_row + of_input[None, :]
        a_tile = tl.load(a_at, mask=is_row[None, :] & is_output[:, None], other=0.0)
        x_tile = tl.load(x_at, mask=is_row[:, None] & is_input[None, :], other=0.0)
        total = tl.dot(a_tile, x_tile, total, input_precision="ieee")
    at = out + expert.to(tl.int64) * outputs * inputs + of_output.to(tl.int64)[:, None] * inputs + of_input[None, :]
    tl.store(at, total.to(out.dtype.element_ty), mask=is_output[:, None] & is_input[None, :])
