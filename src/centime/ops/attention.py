"""Causal softmax attention for training and prefill, value heads of another size than query heads allowed.

Queries are the last S of T positions, so that a chunk of a prompt can look back at what came before it; in training
S = T.

Letters of shapes: B sequences, H heads, S queries, T positions, C numbers of a head (of its keys or its values).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.precision import emulated

# On a CPU, up to this many positions the blocked form below is faster than the fused kernel (3 times at 256); beyond,
# the probabilities it keeps for the backward pass, S^2 / 2 a head, would outgrow the rest of the activations.
LONGEST_BLOCKED = 2048
BLOCK = 256


def causal_attention_reference(q_BHSC: Tensor, k_BHTC: Tensor, v_BHTV: Tensor, scale: float) -> Tensor:
    """softmax(q k^T * scale) v, query i at position T - S + i seeing positions up to its own, in float32.

    -> [B, H, S, Cv] in q's dtype.
    """
    S, T = q_BHSC.shape[2], k_BHTC.shape[2]
    scores = (q_BHSC.float() @ k_BHTC.float().transpose(-1, -2)) * scale
    future = torch.ones(S, T, dtype=torch.bool, device=scores.device).triu(T - S + 1)
    return (scores.masked_fill(future, float("-inf")).softmax(-1) @ v_BHTV.float()).to(q_BHSC.dtype)


class _BlockedCausalAttention(torch.autograd.Function):
    """Row block by row block: each is three batched GEMMs over the keys it may see, the future skipped."""

    @staticmethod
    def forward(ctx: Any, q_NSC: Tensor, k_NTC: Tensor, v_NTV: Tensor, scale: float) -> Tensor:
        S, past = q_NSC.shape[1], k_NTC.shape[1] - q_NSC.shape[1]
        q_NSC = q_NSC * scale
        out, kept = v_NTV.new_empty(len(v_NTV), S, v_NTV.shape[2]), []
        for start in range(0, S, BLOCK):
            end = min(start + BLOCK, S)
            scores = torch.bmm(q_NSC[:, start:end], k_NTC[:, : past + end].transpose(1, 2))
            scores[:, :, past + start :] += scores.new_full((end - start, end - start), float("-inf")).triu_(1)
            weights = scores.softmax(-1)
            torch.bmm(weights, v_NTV[:, : past + end], out=out[:, start:end])
            kept.append(weights)
        ctx.scale, ctx.past = scale, past
        ctx.save_for_backward(q_NSC, k_NTC, v_NTV, out, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *kept = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        expected = torch.linalg.vecdot(grad, out)[..., None]  # sum_j p_ij dp_ij
        for block, weights in enumerate(kept):
            rows = slice(block * BLOCK, block * BLOCK + weights.shape[1])
            keys = slice(0, ctx.past + rows.stop)
            dv[:, keys] += torch.bmm(weights.transpose(1, 2), grad[:, rows])
            dscores = torch.bmm(grad[:, rows], v[:, keys].transpose(1, 2)).sub_(expected[:, rows]).mul_(weights)
            torch.bmm(dscores, k[:, keys], out=dq[:, rows])
            dk[:, keys] += torch.bmm(dscores.transpose(1, 2), q[:, rows])
        return dq.mul_(ctx.scale), dk, dv, None


def causal_attention(q_BHSC: Tensor, k_BHTC: Tensor, v_BHTV: Tensor, scale: float) -> Tensor:
    """The same, fast: q [B, H, S, C], k [B, H, T, C], v [B, H, T, Cv], S <= T -> [B, H, S, Cv].

    Fused flash kernels want equal head sizes, and MLA's differ (192 and 128 in V3): zero columns on v make them equal,
    cost less than the slow path loses, and come off the result unchanged. Where products of q's type would be emulated,
    all of it is float32.
    """
    B, H, S, C = q_BHSC.shape
    T, Cv = v_BHTV.shape[2:]
    if emulated(q_BHSC):
        return causal_attention(q_BHSC.float(), k_BHTC.float(), v_BHTV.float(), scale).to(q_BHSC.dtype)
    if q_BHSC.device.type == "cpu" and S <= LONGEST_BLOCKED:
        out: Tensor = _BlockedCausalAttention.apply(  # type: ignore[no-untyped-call]
            *(t.reshape(B * H, -1, t.shape[-1]) for t in (q_BHSC, k_BHTC, v_BHTV)), scale
        )
        return out.view(B, H, S, Cv)
    if Cv < C:
        v_BHTV = F.pad(v_BHTV, (0, C - Cv))
    elif Cv > C:
        q_BHSC, k_BHTC = (F.pad(t, (0, Cv - C)) for t in (q_BHSC, k_BHTC))
    if S == T:
        return F.scaled_dot_product_attention(q_BHSC, k_BHTC, v_BHTV, is_causal=True, scale=scale)[..., :Cv]
    from torch.nn.attention.bias import causal_lower_right  # brings torch's compiler along: twice the start-up

    past = causal_lower_right(S, T)
    return F.scaled_dot_product_attention(q_BHSC, k_BHTC, v_BHTV, attn_mask=past, scale=scale)[..., :Cv]
