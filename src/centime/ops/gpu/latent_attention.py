"""Absorbed latent attention of single tokens over pages, each query's past split among programs.

FlashDecoding's way (Dao et al., 2023): every program attends over a part of the past with an online softmax and leaves
its output with the logarithm of its sum; a second launch weighs the parts. A tile of heads reads an entry once, as key
and as value (V2 report, section 2.1.2).

Letters of shapes: N queries, H heads, L numbers of the latent, R of the rotated key, W = L + R of an entry, C parts.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from centime.ops.latent.past import Past

_HEADS, _ENTRIES = 16, 32  # of a tile: heads share an entry, a tensor core takes sixteen rows
_LEAST = 256  # entries of a part, at least
_PROGRAMS = 264  # two for each of an H100's multiprocessors: more parts than fill the GPU only add to the second launch


def paged_latent_attention(q_NHW: Tensor, past: Past, scale: float, latent: int) -> Tensor:
    """softmax(q_n stored_n^T * scale) stored_n[:, :L] for every n, over entries in their pages -> [N, H, L].

    How the past is split follows from the width of the table of pages, not from the lengths, which the GPU knows. A
    query's result depends on that width, and on N, by the order of its sums alone.
    """
    N, H, W = q_NHW.shape
    q_NHW, head_tiles = q_NHW.contiguous(), triton.cdiv(H, _HEADS)
    most = past.tables_NP.shape[1] * past.page
    parts = max(1, min(triton.cdiv(most, _LEAST), _PROGRAMS // max(1, N * head_tiles)))
    part = triton.cdiv(triton.cdiv(most, parts), _ENTRIES) * _ENTRIES
    outputs = torch.empty(N, H, parts, latent, dtype=torch.float32, device=q_NHW.device)
    sums = torch.empty(N, H, parts, dtype=torch.float32, device=q_NHW.device)
    out = q_NHW.new_empty(N, H, latent)
    widths = triton.next_power_of_2(latent), max(16, triton.next_power_of_2(W - latent))
    if N:
        _part[N, head_tiles, parts](
            *(q_NHW, past.stored_SW, past.tables_NP, past.lengths_N, outputs, sums, scale, H, latent, W - latent, part),
            *(past.page, past.stored_SW.stride(0), past.tables_NP.stride(0), _HEADS, _ENTRIES, *widths),
            num_warps=8,
            num_stages=2,
        )
        _weighed[N * H,](outputs, sums, out, parts, latent, triton.next_power_of_2(parts), widths[0])
    return out


@triton.jit
def _part(
    q,
    stored,
    tables,
    lengths,
    outputs,
    sums,
    scale,
    heads,
    latent,
    rotated,
    part,
    page,
    stored_row,
    tables_row,
    HEADS: tl.constexpr,
    ENTRIES: tl.constexpr,
    LATENT: tl.constexpr,
    ROTATED: tl.constexpr,
):
    query, split = tl.program_id(0), tl.program_id(2)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    of_latent, of_rotated = tl.arange(0, LATENT), tl.arange(0, ROTATED)
    is_latent, is_rotated = (of_latent < latent)[None, :], (of_rotated < rotated)[None, :]
    width = latent + rotated
    q_at = q + (query.to(tl.int64) * heads + head[:, None]) * width
    is_head = (head < heads)[:, None]
    q_latent = tl.load(q_at + of_latent[None, :], mask=is_head & is_latent, other=0.0)
    q_rotated = tl.load(q_at + latent + of_rotated[None, :], mask=is_head & is_rotated, other=0.0)
    start = split * part
    end = tl.minimum(start + part, tl.load(lengths + query))
    largest = tl.full((HEADS,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((HEADS,), dtype=tl.float32)
    context = tl.zeros((HEADS, LATENT), dtype=tl.float32)
    for first in range(start, end, ENTRIES):
        place = first + tl.arange(0, ENTRIES)
        seen = place < end
        block = tl.load(tables + query.to(tl.int64) * tables_row + place // page, mask=seen, other=0)
        at = stored + (block * page + place % page).to(tl.int64)[:, None] * stored_row
        keys = tl.load(at + of_latent[None, :], mask=seen[:, None] & is_latent, other=0.0)
        turned = tl.load(at + latent + of_rotated[None, :], mask=seen[:, None] & is_rotated, other=0.0)
        scores = tl.dot(q_latent, tl.trans(keys), input_precision="ieee")
        scores = tl.dot(q_rotated, tl.trans(turned), scores, input_precision="ieee") * scale
        scores = tl.where(seen[None, :], scores, float("-inf"))
        above = tl.maximum(largest, tl.max(scores, 1))
        weights, kept = tl.exp(scores - above[:, None]), tl.exp(largest - above)
        total = total * kept + tl.sum(weights, 1)
        context = tl.dot(weights.to(keys.dtype), keys, context * kept[:, None], input_precision="ieee")
        largest = above
    parts = tl.num_programs(2)
    place = (query.to(tl.int64) * heads + head) * parts + split
    empty = total == 0.0  # a part beyond the past, or one without a finite score
    context = tl.where(empty[:, None], 0.0, context / tl.where(empty, 1.0, total)[:, None])
    tl.store(
        outputs + place[:, None] * latent + of_latent[None, :], context, mask=is_head & (of_latent < latent)[None, :]
    )
    tl.store(
        sums + place, tl.where(empty, float("-inf"), largest + tl.log(tl.where(empty, 1.0, total))), mask=head < heads
    )


@triton.jit
def _weighed(outputs, sums, out, parts, latent, PARTS: tl.constexpr, LATENT: tl.constexpr):
    row, part, of_latent = tl.program_id(0).to(tl.int64), tl.arange(0, PARTS), tl.arange(0, LATENT)
    each = tl.load(sums + row * parts + part, mask=part < parts, other=float("-inf"))
    weights = tl.exp(each - tl.max(each))
    weights = weights / tl.sum(weights)
    context = tl.zeros((LATENT,), dtype=tl.float32)
    for split in range(0, parts):
        weight = tl.sum(tl.where(part == split, weights, 0.0))
        context += weight * tl.load(
            outputs + (row * parts + split) * latent + of_latent, mask=of_latent < latent, other=0.0
        )
    tl.store(out + row * latent + of_latent, context.to(out.dtype.element_ty), mask=of_latent < latent)
