"""Grouped-query attention of single tokens: the query heads of a group against the keys and values that they share.

Letters of shapes: N queries, G of them in a group that is attended together, T entries, H heads, K key and value heads,
C numbers of a head, M = H / K query heads of one key head, W = 2 * K * C numbers of an entry (keys, then values).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.ops.latent.past import Past, QueryGroup, native_past
from centime.ops.native import kernels_for
from centime.ops.precision import emulated


def grouped_attention_reference(q_NHC: Tensor, groups: Sequence[QueryGroup], scale: float, kv_heads: int) -> Tensor:
    """softmax(q_n keys_n^T * scale) values_n for every n and head, in float64 -> [N, H, C] in q's dtype."""
    out = torch.empty(q_NHC.shape, dtype=torch.float64)
    M = q_NHC.shape[1] // kv_heads
    for rows, stored_GTW, unseen_GT in groups:
        for i, row in enumerate(rows.tolist()):
            seen_TW = (stored_GTW[i] if unseen_GT is None else stored_GTW[i, ~unseen_GT[i]]).double()
            keys, values = (t.unflatten(-1, (kv_heads, -1)).repeat_interleave(M, 1) for t in seen_TW.chunk(2, -1))
            weights_HT = (torch.einsum("hc,thc->ht", q_NHC[row].double(), keys) * scale).softmax(-1)
            out[row] = torch.einsum("ht,thc->hc", weights_HT, values)
    return out.to(q_NHC.dtype)


def grouped_attention(q_NHC: Tensor, groups: Sequence[QueryGroup], scale: float, kv_heads: int) -> Tensor:
    """The same, two batched GEMMs a group: q [N, H, C], every query in one of the groups -> [N, H, C].

    The arithmetic of a query in a group of its own depends on its own T alone, never on the other queries. Where
    products of q's type would be emulated, all of it is float32.
    """
    wide = torch.float32 if emulated(q_NHC) else q_NHC.dtype
    out, scaled_NKMC = torch.empty_like(q_NHC), (q_NHC.to(wide) * scale).unflatten(1, (kv_heads, -1))
    for rows, stored_GTW, unseen_GT in groups:
        keys, values = (t.unflatten(-1, (kv_heads, -1)).transpose(1, 2) for t in stored_GTW.to(wide).chunk(2, -1))
        scores_GKMT = scaled_NKMC.index_select(0, rows) @ keys.transpose(-1, -2)
        if unseen_GT is not None:
            scores_GKMT.masked_fill_(unseen_GT[:, None, None], float("-inf"))
        weights_GKMT = scores_GKMT.softmax(-1, dtype=torch.float32).to(wide)
        out.index_copy_(0, rows, (weights_GKMT @ values).flatten(1, 2).to(q_NHC.dtype))
    return out


def paged_grouped_attention(q_NHC: Tensor, past: Past, scale: float, kv_heads: int) -> Tensor:
    """The same over entries in pages: by our kernels where they stand, once for a group; without kernels gathered."""
    kernels = kernels_for(q_NHC)
    if kernels is None:
        return grouped_attention(q_NHC, past.groups(), scale, kv_heads)
    q = q_NHC.contiguous()
    out = torch.empty_like(q)
    N, H, C = q.shape
    kernels.grouped_attention(q.data_ptr(), N, H, kv_heads, C, scale, native_past(past), out.data_ptr())
    return out
