"""What a token leaves in the cache, made and written in one pass: the normed latent and the rotated key.

Letters of shapes: N tokens, L numbers of the latent, R of the rotated key, S places of the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from centime.ops.rms_norm import rms_norm_reference
from centime.ops.rope import apply_rope_reference


class Norm(NamedTuple):
    """RMSNorm of the latent."""

    weight_L: Tensor
    epsilon: float


def write_entries_reference(
    down: Tensor, norm: Norm, table: tuple[Tensor, Tensor], interleave: bool, stored: Tensor, slot_N: Tensor
) -> None:
    """stored[slot] = [norm(latent); rope(key)] of down [N, L + R], for every token; of V2's eq. 9 and 14."""
    latent, key = down.split([len(norm.weight_L), down.shape[1] - len(norm.weight_L)], dim=1)
    rotated = apply_rope_reference(key[None, :, None], table, interleave)[0, :, 0]
    stored[slot_N] = torch.cat((rms_norm_reference(latent, *norm), rotated), dim=1)


def write_entries(
    down: Tensor, norm: Norm, table: tuple[Tensor, Tensor], interleave: bool, stored: Tensor, slot_N: Tensor
) -> None:
    """The same in one launch, computed in float32 and rounded once."""
    (N, width), latent = down.shape, len(norm.weight_L)
    half = (width - latent) // 2
    cos, sin = (part.contiguous() for part in table)
    if N:
        _write_entries[N,](
            *(down, norm.weight_L, cos, sin, stored, slot_N, norm.epsilon, latent, half, down.stride(0)),
            *(stored.stride(0), *((2, 1) if interleave else (1, half))),
            *(triton.next_power_of_2(latent), triton.next_power_of_2(half)),
        )


@triton.jit
def _write_entries(
    down,
    weight,
    cos,
    sin,
    stored,
    slot_N,
    epsilon,
    latent,
    half,
    down_row,
    stored_row,
    pair_step,
    partner,
    LATENT: tl.constexpr,
    HALF: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    source, target = down + token * down_row, stored + tl.load(slot_N + token).to(tl.int64) * stored_row
    place = tl.arange(0, LATENT)
    numbers = tl.load(source + place, mask=place < latent, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(numbers * numbers) / latent + epsilon)
    normed = numbers * scale * tl.load(weight + place, mask=place < latent, other=0.0).to(tl.float32)
    tl.store(target + place, normed.to(stored.dtype.element_ty), mask=place < latent)
    pair = tl.arange(0, HALF)
    is_pair = pair < half
    first = tl.load(source + latent + pair * pair_step, mask=is_pair, other=0.0).to(tl.float32)
    second = tl.load(source + latent + pair * pair_step + partner, mask=is_pair, other=0.0).to(tl.float32)
    c = tl.load(cos + token * half + pair, mask=is_pair, other=0.0)
    s = tl.load(sin + token * half + pair, mask=is_pair, other=0.0)
    there = target + latent + pair * pair_step
    tl.store(there, (first * c - second * s).to(stored.dtype.element_ty), mask=is_pair)
    tl.store(there + partner, (first * s + second * c).to(stored.dtype.element_ty), mask=is_pair)
