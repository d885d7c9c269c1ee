"""Causal softmax attention for training and prefill, value heads of another size than query heads allowed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_attention_reference(q_BHSC: Tensor, k_BHSC: Tensor, v_BHSV: Tensor, scale: float) -> Tensor:
    """softmax(q k^T * scale) v with position i seeing positions <= i, in float32 -> [B, H, S, Cv] in q's dtype."""
    S = q_BHSC.shape[2]
    scores = (q_BHSC.float() @ k_BHSC.float().transpose(-1, -2)) * scale
    future = torch.ones(S, S, dtype=torch.bool, device=scores.device).triu(1)
    return (scores.masked_fill(future, float("-inf")).softmax(-1) @ v_BHSV.float()).to(q_BHSC.dtype)


def causal_attention(q_BHSC: Tensor, k_BHSC: Tensor, v_BHSV: Tensor, scale: float) -> Tensor:
    """The same through PyTorch's fused kernels: q, k [B, H, S, C], v [B, H, S, Cv] -> [B, H, S, Cv].

    Flash kernels want equal head sizes, and MLA's differ (192 and 128 in V3): zero columns on v make them equal, cost
    less than the slow path loses, and come off the result unchanged.
    """
    C, Cv = q_BHSC.shape[-1], v_BHSV.shape[-1]
    if Cv < C:
        v_BHSV = F.pad(v_BHSV, (0, C - Cv))
    elif Cv > C:
        q_BHSC, k_BHSC = (F.pad(t, (0, Cv - C)) for t in (q_BHSC, k_BHSC))
    return F.scaled_dot_product_attention(q_BHSC, k_BHSC, v_BHSV, is_causal=True, scale=scale)[..., :Cv]
