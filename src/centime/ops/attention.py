"""Causal softmax attention for training and prefill, value heads of another size than query heads allowed.

Queries are the last S of T positions, so that a chunk of a prompt can look back at what came before it; in training
S = T. A key head may be met by G = H / K query heads, those next to each other (arXiv 2305.13245, section 2.2).

Letters of shapes: B sequences, H heads, K key and value heads, S queries, T positions, C numbers of a head (of its keys
or its values); N key heads of all sequences, R = S * G rows that meet one of them, those of a position together.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.native.library import HeadRows, Library
from centime.ops.native import kernels_for
from centime.ops.precision import emulated

# On a CPU, up to this many positions the blocked form below is faster than the fused kernel (3 times at 256); beyond,
# the probabilities it keeps for the backward pass, S^2 / 2 a head, would outgrow the rest of the activations.
LONGEST_BLOCKED = 2048
BLOCK = 256


def causal_attention_reference(q_BHSC: Tensor, k_BKTC: Tensor, v_BKTV: Tensor, scale: float) -> Tensor:
    """softmax(q k^T * scale) v, query i at position T - S + i seeing positions up to its own, in float32.

    -> [B, H, S, Cv] in q's dtype.
    """
    S, T, G = q_BHSC.shape[2], k_BKTC.shape[2], q_BHSC.shape[1] // k_BKTC.shape[1]
    k_BHTC, v_BHTV = (t.repeat_interleave(G, dim=1) for t in (k_BKTC, v_BKTV))
    scores = (q_BHSC.float() @ k_BHTC.float().transpose(-1, -2)) * scale
    future = torch.ones(S, T, dtype=torch.bool, device=scores.device).triu(T - S + 1)
    return (scores.masked_fill(future, float("-inf")).softmax(-1) @ v_BHTV.float()).to(q_BHSC.dtype)


class _BlockedCausalAttention(torch.autograd.Function):
    """Row block by row block: each is three batched GEMMs over the keys it may see, the future skipped."""

    @staticmethod
    def forward(ctx: Any, q_NRC: Tensor, k_NTC: Tensor, v_NTV: Tensor, scale: float, G: int) -> Tensor:
        S, past = q_NRC.shape[1] // G, k_NTC.shape[1] - q_NRC.shape[1] // G
        q_NRC = q_NRC * scale
        out, kept = v_NTV.new_empty(len(v_NTV), S * G, v_NTV.shape[2]), []
        for start in range(0, S, BLOCK):
            end = min(start + BLOCK, S)
            scores = torch.bmm(q_NRC[:, start * G : end * G], k_NTC[:, : past + end].transpose(1, 2))
            future = scores.new_full((end - start, end - start), float("-inf")).triu_(1)
            scores[:, :, past + start :] += future.repeat_interleave(G, dim=0)
            weights = scores.softmax(-1)
            torch.bmm(weights, v_NTV[:, : past + end], out=out[:, start * G : end * G])
            kept.append(weights)
        ctx.scale, ctx.past, ctx.G = scale, past, G
        ctx.save_for_backward(q_NRC, k_NTC, v_NTV, out, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *kept = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        expected = torch.linalg.vecdot(grad, out)[..., None]  # sum_j p_ij dp_ij
        for block, weights in enumerate(kept):
            first = block * BLOCK * ctx.G
            rows = slice(first, first + weights.shape[1])
            keys = slice(0, ctx.past + rows.stop // ctx.G)
            dv[:, keys] += torch.bmm(weights.transpose(1, 2), grad[:, rows])
            dscores = torch.bmm(grad[:, rows], v[:, keys].transpose(1, 2)).sub_(expected[:, rows]).mul_(weights)
            torch.bmm(dscores, k[:, keys], out=dq[:, rows])
            dk[:, keys] += torch.bmm(dscores.transpose(1, 2), q[:, rows])
        return dq.mul_(ctx.scale), dk, dv, None, None


def causal_attention(q_BHSC: Tensor, k_BKTC: Tensor, v_BKTV: Tensor, scale: float) -> Tensor:
    """The same, fast: q [B, H, S, C], k [B, K, T, C], v [B, K, T, Cv], S <= T -> [B, H, S, Cv].

    Fused flash kernels want equal head sizes, and MLA's differ (192 and 128 in V3): zero columns on v make them equal,
    cost less than the slow path loses, and come off the result unchanged. Where products of q's type would be emulated,
    our kernels compute it, or all of it is float32.
    """
    B, H, S, C = q_BHSC.shape
    K, T, Cv = v_BKTV.shape[1:]
    G = H // K
    if emulated(q_BHSC):
        kernels = kernels_for(q_BHSC)
        if kernels is not None and C % 2 == 0:
            return native_causal_attention(kernels, q_BHSC, k_BKTC, v_BKTV, scale)
        return causal_attention(q_BHSC.float(), k_BKTC.float(), v_BKTV.float(), scale).to(q_BHSC.dtype)
    if q_BHSC.device.type == "cpu" and S <= LONGEST_BLOCKED:
        q_NRC = q_BHSC.unflatten(1, (K, G)).transpose(2, 3).reshape(B * K, S * G, C)
        out: Tensor = _BlockedCausalAttention.apply(  # type: ignore[no-untyped-call]
            q_NRC, *(t.reshape(B * K, T, -1) for t in (k_BKTC, v_BKTV)), scale, G
        )
        return out.view(B, K, S, G, Cv).transpose(2, 3).reshape(B, H, S, Cv)
    if Cv < C:
        v_BKTV = F.pad(v_BKTV, (0, C - Cv))
    elif Cv > C:
        q_BHSC, k_BKTC = (F.pad(t, (0, Cv - C)) for t in (q_BHSC, k_BKTC))
    grouped = G > 1
    if S == T:
        return F.scaled_dot_product_attention(q_BHSC, k_BKTC, v_BKTV, is_causal=True, scale=scale, enable_gqa=grouped)[
            ..., :Cv
        ]
    from torch.nn.attention.bias import causal_lower_right  # brings torch's compiler along: twice the start-up

    past = causal_lower_right(S, T)
    if grouped:  # that bias takes no groups
        k_BKTC, v_BKTV = (t.repeat_interleave(G, dim=1) for t in (k_BKTC, v_BKTV))
    return F.scaled_dot_product_attention(q_BHSC, k_BKTC, v_BKTV, attn_mask=past, scale=scale)[..., :Cv]


def native_causal_attention(kernels: Library, q_BHSC: Tensor, k_BKTC: Tensor, v_BKTV: Tensor, scale: float) -> Tensor:
    """The same of bf16 by our kernels, C even: each chunk of keys and values is read once for a group's heads.

    A query's bits depend on what it sees alone. Heads of a position stand together in memory: of [B, H, S, Cv] a view.
    """
    B, H, S, _ = q_BHSC.shape
    out_BSHV = q_BHSC.new_empty(B, S, H, v_BKTV.shape[-1])
    whole = [part if part.stride(-1) == 1 else part.contiguous() for part in (q_BHSC, k_BKTC, v_BKTV)]
    for *parts, out in zip(*whole, out_BSHV, strict=True):
        kernels.causal_attention(*map(_head_rows, parts), scale, out.data_ptr())
    return out_BSHV.transpose(1, 2)


def _head_rows(x_HTC: Tensor) -> HeadRows:
    """As the kernels are told of it; x must outlive it."""
    heads, rows, width = x_HTC.shape
    return HeadRows(x_HTC.data_ptr(), rows, heads, width, x_HTC.stride(1), x_HTC.stride(0))
