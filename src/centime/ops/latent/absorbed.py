"""MLA's projections by heads on both sides of its attention.

W_UK stands on the side of the query, W_UV on that of the output (V2 report, section 2.1.2, last paragraph):
q^T (W_UK c) = (W_UK^T q)^T c, so that cached latents c are keys and values themselves.

Letters of shapes: B sequences, S queries, H heads, N numbers of a head's key that are not rotated, V of its value, L of
the latent, R of the rotated key.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

from centime.ops.panels import Panels, can_panel, panels, panels_by_heads
from centime.ops.quantised import quantise


class HeadMatrices(NamedTuple):
    """W_UK [H, N, L] and W_UV [H, V, L]; or in panels, W_UK transposed, as its product wants it."""

    uk_HNL: Tensor
    uv_HVL: Tensor

    @classmethod
    def of(cls, kv_up: Tensor, nope: int, values: int) -> Self:
        """Views of the matrix that makes keys and values of a latent, [H * (N + V), L]."""
        by_heads = kv_up.view(-1, nope + values, kv_up.shape[-1])
        return cls(*by_heads.split([nope, values], dim=1))

    def packed(self, rounded: bool = False) -> HeadMatrices | None:
        """Copies in panels, of 8 bits where they are `rounded`; None where there are no kernels for these."""
        uk_HLN, uv_HVL = self.uk_HNL.transpose(1, 2), self.uv_HVL
        if rounded:
            uk_HLN, uv_HVL = quantise(uk_HLN, "int8"), quantise(uv_HVL, "int8")
        if not (can_panel(uk_HLN) and can_panel(uv_HVL)):
            return None
        return HeadMatrices(panels(uk_HLN), panels(uv_HVL))


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
