"""Several examples in one row that do not see each other: attention within each, positions that begin anew.

Letters of shapes: B rows, S inputs of each, N examples in some of them, L the longest of these, H heads, W numbers of a
token's cache entry.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from centime.model.cache import Attention, Queries


class Packing:
    """Which example each token of some rows is of, as `model.features` takes it.

    Examples of about the same length are computed together, each a row of its own, padded on the right, which causal
    attention never looks at: the arithmetic of an example is that of one example a row.
    """

    def __init__(self, examples_BS: Tensor) -> None:
        """examples [B, S] int64: 1, 2, ... from left to right in every row, 0 where there is padding."""
        self.examples_BS = examples_BS
        S = examples_BS.shape[1]
        places = torch.arange(S, device=examples_BS.device)
        begins_BS = torch.ones_like(examples_BS, dtype=torch.bool)
        begins_BS[:, 1:] = examples_BS[:, 1:] != examples_BS[:, :-1]
        self.positions_BS = places - torch.where(begins_BS, places, 0).cummax(-1).values
        starts = begins_BS.flatten().nonzero().flatten()
        lengths = torch.diff(starts, append=starts.new_tensor([examples_BS.numel()]))
        real = examples_BS.flatten()[starts] > 0
        self.count = int(real.sum())
        numbers = torch.full_like(starts, -1).masked_scatter(real, torch.arange(self.count, device=starts.device))
        self.of_all_BS = torch.repeat_interleave(numbers, lengths).view_as(examples_BS)
        """Which of the `count` examples of all rows a token is of; -1 in padding."""
        groups: dict[int, list[int]] = defaultdict(list)
        for i, length in enumerate(lengths.tolist()):
            if real[i]:
                groups[max(length - 1, 0).bit_length()].append(i)
        self._groups = [self._together(starts[which], lengths[which]) for which in groups.values()]

    @staticmethod
    def _together(starts_N: Tensor, lengths_N: Tensor) -> tuple[Tensor, Tensor]:
        """([N, L] where the tokens of N examples stand among all, [N, L] which of these are real)."""
        offsets = torch.arange(int(lengths_N.max()), device=starts_N.device)
        real_NL = offsets < lengths_N[:, None]
        return (starts_N[:, None] + offsets).where(real_NL, starts_N[:, None]), real_NL

    def attend(self, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        """Attention of every example over itself -> [B, S, H * v]; zeros in padding."""
        B, S, _ = entry_BSW.shape
        entries, asked = entry_BSW.flatten(0, 1), [query.flatten(0, 1) for query in queries]
        places, found = [], []
        for place_NL, real_NL in self._groups:
            heads_NLV = attention.over(tuple(query[place_NL] for query in asked), entries[place_NL])
            places.append(place_NL[real_NL])
            found.append(heads_NLV[real_NL])
        heads = torch.cat(found)
        out = heads.new_zeros(B * S, heads.shape[-1]).index_copy(0, torch.cat(places), heads)
        return out.view(B, S, -1)
