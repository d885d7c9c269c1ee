"""Absorbed latent attention of single tokens: every head of a query against one shared key, the cached latent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def latent_attention_reference(q_NHW: Tensor, stored_TW: Sequence[Tensor], scale: float, latent: int) -> Tensor:
    """softmax(q_n stored_n^T * scale) stored_n[:, :L] for every n, in float64 -> [N, H, L] in q's dtype."""
    rows = []
    for q_HW, keys_TW in zip(q_NHW.double(), stored_TW, strict=True):
        weights = (torch.einsum("hw,tw->ht", q_HW, keys_TW.double()) * scale).softmax(-1)
        rows.append(torch.einsum("ht,tl->hl", weights, keys_TW[:, :latent].double()))
    return torch.stack(rows).to(q_NHW.dtype)


def latent_attention(q_NHW: Tensor, stored_TW: Sequence[Tensor], scale: float, latent: int) -> Tensor:
    """The same, two GEMMs a query: q [N, H, L + R], stored N tensors [T_n, L + R] -> [N, H, L].

    A query's arithmetic depends on its own T_n alone, never on the other queries (V2 report section 2.1.2 absorbs W_UK
    into the query, so that the cache is read once for all heads).
    """
    out = q_NHW.new_empty(q_NHW.shape[0], q_NHW.shape[1], latent)
    for q_HW, keys_TW, row_HL in zip(q_NHW * scale, stored_TW, out, strict=True):
        # The long matrix stands first in both products: a CPU's library copies the second one before it begins.
        scores_HT = torch.mm(keys_TW, q_HW.t()).t()
        weights_HT = scores_HT.softmax(-1, dtype=torch.float32).to(q_HW.dtype)
        row_HL.copy_(torch.mm(keys_TW[:, :latent].t(), weights_HT.t()).t())
    return out
