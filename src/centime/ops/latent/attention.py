"""Absorbed latent attention of single tokens: every head of a query against one shared key, the cached latent.

Letters of shapes: N queries, G of them in a group, T entries, H heads, W = L + R numbers of an entry (latent,
rotated).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.native.library import Library, library
from centime.ops.latent.past import Past, QueryGroup, native_past
from centime.ops.native import on_gpu


def latent_attention_reference(q_NHW: Tensor, groups: Sequence[QueryGroup], scale: float, latent: int) -> Tensor:
    """softmax(q_n stored_n^T * scale) stored_n[:, :L] for every n, in float64 -> [N, H, L] in q's dtype."""
    out = torch.empty(*q_NHW.shape[:2], latent, dtype=torch.float64)
    for rows, stored_GTW, unseen_GT in groups:
        for i, row in enumerate(rows.tolist()):
            keys_TW = (stored_GTW[i] if unseen_GT is None else stored_GTW[i, ~unseen_GT[i]]).double()
            weights_HT = (torch.einsum("hw,tw->ht", q_NHW[row].double(), keys_TW) * scale).softmax(-1)
            out[row] = torch.einsum("ht,tl->hl", weights_HT, keys_TW[:, :latent])
    return out.to(q_NHW.dtype)


def latent_attention(q_NHW: Tensor, groups: Sequence[QueryGroup], scale: float, latent: int) -> Tensor:
    """The same, two GEMMs a group: q [N, H, L + R], every query in one of the groups -> [N, H, L].

    V2 report section 2.1.2: with W_UK absorbed into the query, the cache is read once for all heads. The arithmetic of
    a query in a group of its own depends on its own T alone, never on the other queries.
    """
    out, scaled_NHW = q_NHW.new_empty(*q_NHW.shape[:2], latent), q_NHW * scale
    for rows, stored_GTW, unseen_GT in groups:
        q_GHW = scaled_NHW.index_select(0, rows)
        if len(rows) == 1 and unseen_GT is None:
            context_GHL = _alone(q_GHW[0], stored_GTW[0], latent)[None]
        else:
            context_GHL = _together(q_GHW, stored_GTW, unseen_GT, latent)
        out.index_copy_(0, rows, context_GHL)
    return out


def paged_latent_attention(q_NHW: Tensor, past: Past, scale: float, latent: int) -> Tensor:
    """The same over entries where they stand: each is read once, by our kernels, where there are some for q's type."""
    if on_gpu(q_NHW):
        from centime.ops.gpu.latent_attention import paged_latent_attention

        return paged_latent_attention(q_NHW, past, scale, latent)
    kernels = library()
    if kernels is None or q_NHW.dtype != torch.bfloat16 or q_NHW.device.type != "cpu" or q_NHW.shape[-1] % 2:
        return latent_attention(q_NHW, past.groups(), scale, latent)
    return _paged(kernels, q_NHW.contiguous(), past, scale, latent)


def _paged(kernels: Library, q_NHW: Tensor, past: Past, scale: float, latent: int) -> Tensor:
    out = q_NHW.new_empty(*q_NHW.shape[:2], latent)
    kernels.latent_attention(
        *(q_NHW.data_ptr(), *q_NHW.shape, latent, scale, native_past(past), out.data_ptr()),
    )
    return out


def _alone(q_HW: Tensor, keys_TW: Tensor, latent: int) -> Tensor:
    """The long matrix stands first in both products: a CPU's library copies the second one before it begins."""
    scores_HT = torch.mm(keys_TW, q_HW.t()).t()
    weights_HT = scores_HT.softmax(-1, dtype=torch.float32).to(q_HW.dtype)
    return torch.mm(keys_TW[:, :latent].t(), weights_HT.t()).t()


def _together(q_GHW: Tensor, keys_GTW: Tensor, unseen_GT: Tensor | None, latent: int) -> Tensor:
    scores_GHT = torch.bmm(q_GHW, keys_GTW.transpose(1, 2))
    if unseen_GT is not None:
        scores_GHT.masked_fill_(unseen_GT[:, None], float("-inf"))
    weights_GHT = scores_GHT.softmax(-1, dtype=torch.float32).to(q_GHW.dtype)
    return torch.bmm(weights_GHT, keys_GTW[..., :latent])
