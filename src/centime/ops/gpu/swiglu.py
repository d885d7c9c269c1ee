"""silu(gate) * up, times what its row counts, forward and backward in one pass each (arXiv 2002.05202, eq. 5).

Letters of shapes: P rows, F the width of a feed-forward.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_WIDTH = 1024  # numbers of a row that a program takes at a time


def gated_swiglu_reference(h_P2F: Tensor, gate_P: Tensor) -> Tensor:
    """silu(first half) * second half * gate -> [P, F]."""
    first, second = h_P2F.chunk(2, dim=-1)
    return torch.nn.functional.silu(first) * second * gate_P[:, None].to(h_P2F.dtype)


def gated_swiglu(h_P2F: Tensor, gate_P: Tensor) -> Tensor:
    """The same, computed in float32 and rounded once. Rows whose gate is 0 are zeros, whatever stands in h."""
    P, F = h_P2F.shape[0], h_P2F.shape[1] // 2
    out = h_P2F.new_empty(P, F)
    _forward[P, triton.cdiv(F, _WIDTH)](h_P2F, gate_P, out, F, _WIDTH)
    return out


@triton.jit
def _forward(h, gate, out, F, WIDTH: tl.constexpr):
    row, place = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    counts = tl.load(gate + row).to(tl.float32)
    filled = tl.where(counts != 0.0, F, 0)  # what stands in nobody's row is not read
    inside = place < filled
    first = tl.load(h + row * 2 * F + place, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(h + row * 2 * F + F + place, mask=inside, other=0.0).to(tl.float32)
    y = first * tl.sigmoid(first) * second * counts
    tl.store(out + row * F + place, y.to(out.dtype.element_ty), mask=place < F)


def gated_swiglu_backward(dy_PF: Tensor, h_P2F: Tensor, gate_P: Tensor) -> tuple[Tensor, Tensor]:
    """Of the gradient of the result, those of h [P, 2 F] and of the gates, float32 [P]; zeros where a gate is 0."""
    P, F = dy_PF.shape
    dh, dgate = torch.empty_like(h_P2F), torch.empty(P, dtype=torch.float32, device=h_P2F.device)
    _backward[(P,)](dy_PF, h_P2F, gate_P, dh, dgate, F, _WIDTH)
    return dh, dgate


@triton.jit
def _backward(dy, h, gate, dh, dgate, F, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    counts = tl.load(gate + row).to(tl.float32)
    filled = tl.where(counts != 0.0, F, 0)  # what stands in nobody's row is not read
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for start in range(0, F, WIDTH):
        place = start + tl.arange(0, WIDTH)
        inside = place < filled
        first = tl.load(h + row * 2 * F + place, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(h + row * 2 * F + F + place, mask=inside, other=0.0).to(tl.float32)
        above = tl.load(dy + row * F + place, mask=inside, other=0.0).to(tl.float32)
        sigmoid = tl.sigmoid(first)
        silu = first * sigmoid
        total += above * silu * second
        dfirst = above * counts * second * sigmoid * (1 + first * (1 - sigmoid))
        dsecond = above * counts * silu
        tl.store(dh + row * 2 * F + place, dfirst.to(dh.dtype.element_ty), mask=place < F)
        tl.store(dh + row * 2 * F + F + place, dsecond.to(dh.dtype.element_ty), mask=place < F)
    tl.store(dgate + row, tl.sum(total))
