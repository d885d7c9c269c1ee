"""The projections of MLA: what comes before attention in one call, and those by heads on both sides of it.

W_UK stands on the side of the query, W_UV on that of the output (V2 report, section 2.1.2, last paragraph):
q^T (W_UK c) = (W_UK^T q)^T c, so that cached latents c are keys and values themselves.

Letters of shapes: B sequences, S queries, H heads, N numbers of a head's key that are not rotated, V of its value, L of
the latent, R of the rotated key.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from centime.native.library import Projections
from centime.ops.panels import Panels, can_panel, library_of_panels, panels, panels_by_heads


@dataclass(frozen=True)
class PackedProjections:
    """A layer's matrices in panels and its norms: from a token to its query and to what a cache keeps, in one call.

    q_down and q_norm are None where the query has no latent of its own.
    """

    q_down: Panels | None
    q_norm: Tensor | None
    q_up: Panels
    kv_down: Panels
    kv_norm: Tensor
    heads: int
    rope: int  # R
    epsilon: float  # of both norms
    interleave: bool

    @cached_property
    def _layer(self) -> Projections:
        q_down, q_norm = self.q_down, self.q_norm
        return Projections(
            *(None if q_down is None else q_down.data_ptr(), None if q_norm is None else q_norm.data_ptr()),
            *(self.q_up.data_ptr(), self.kv_down.data_ptr(), self.kv_norm.data_ptr(), self.kv_down.inputs),
            *(0 if q_down is None else q_down.outputs, self.heads, self.q_up.outputs // self.heads - self.rope),
            *(self.rope, self.kv_down.outputs - self.rope, self.epsilon, self.interleave),
        )

    def __call__(self, x_1SD: Tensor, table: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """x [1, S, D] bf16, cos and sin [S, R/2] -> queries [1, S, H, N + R], rotated; entries [1, S, L + R]."""
        x, (cos, sin) = x_1SD.contiguous(), (part.contiguous() for part in table)
        S = x.shape[1]
        q = x.new_empty(1, S, self.heads, self.q_up.outputs // self.heads)
        entries = x.new_empty(1, S, self.kv_down.outputs)
        library_of_panels().project(
            *(ctypes.addressof(self._layer), x.data_ptr(), S, cos.data_ptr(), sin.data_ptr()),
            *(q.data_ptr(), entries.data_ptr()),
        )
        return q, entries


class HeadMatrices(NamedTuple):
    """W_UK [H, N, L] and W_UV [H, V, L]; or in panels, W_UK transposed, as its product wants it."""

    uk_HNL: Tensor
    uv_HVL: Tensor

    @classmethod
    def of(cls, kv_up: Tensor, nope: int, values: int) -> Self:
        """Views of the matrix that makes keys and values of a latent, [H * (N + V), L]."""
        by_heads = kv_up.view(-1, nope + values, kv_up.shape[-1])
        return cls(*by_heads.split([nope, values], dim=1))

    def packed(self) -> HeadMatrices | None:
        """Copies in panels; None where there are no kernels for these."""
        uk_HLN = self.uk_HNL.transpose(1, 2)
        if not (can_panel(uk_HLN) and can_panel(self.uv_HVL)):
            return None
        return HeadMatrices(panels(uk_HLN), panels(self.uv_HVL))


def absorb(q_BSHN: Tensor, q_BSHR: Tensor, weights: HeadMatrices) -> Tensor:
    """[q_nope W_UK; q_rope] -> [B, S, H, L + R]."""
    uk = weights.uk_HNL
    if not isinstance(uk, Panels):
        return torch.cat((torch.einsum("bshn,hnl->bshl", q_BSHN, uk), q_BSHR), dim=-1)
    B, S, H, _ = q_BSHN.shape
    latent, rotated = uk.outputs, q_BSHR.shape[-1]
    out = q_BSHN.new_empty(B, S, H, latent + rotated)
    panels_by_heads(q_BSHN.flatten(0, 1), uk, out.flatten(0, 1)[..., :latent])
    out[..., latent:] = q_BSHR
    return out


def release(context_BSHL: Tensor, weights: HeadMatrices) -> Tensor:
    """Weighted latents times W_UV -> [B, S, H, V]."""
    uv, (B, S, H, _) = weights.uv_HVL, context_BSHL.shape
    if isinstance(uv, Panels):
        return panels_by_heads(context_BSHL.flatten(0, 1), uv).view(B, S, H, -1)
    # W first: as the second operand, transposed and strided, a bf16 product on a CPU would copy it each time
    heads_HVN = torch.bmm(uv, context_BSHL.flatten(0, 1).permute(1, 2, 0))
    return heads_HVN.permute(2, 0, 1).reshape(B, S, H, -1)
