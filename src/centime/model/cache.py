"""What generation keeps of the past: for MLA the latent and one rotated key a token, L + R numbers a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.ops.latent_attention import QueryGroup

Queries = tuple[Tensor, ...]  # each [B, S, H, .]


class Attention(Protocol):
    """The half of an attention that comes after the cache: queries against the entries that the cache kept."""

    def over(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Attention of S queries over T entries, the last S of them their own -> [B, S, H * v]."""

    def decode(self, queries: Queries, groups: Sequence[QueryGroup]) -> Tensor:
        """N single tokens, each over entries of its own; queries [1, N, H, .] -> [1, N, H * v]."""


class LayerCache(Protocol):
    """One layer's view of a cache, between a token's projections and its attention."""

    def attend(self, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        """Keeps the new entries; the queries' attention over all they may see -> [B, S, H * v]."""


class Cache(Protocol):
    """What a forward pass needs of a cache, whatever its shape in memory."""

    def positions(self, tokens: int) -> Tensor:
        """int64 [S], where in their sequences the tokens of this pass stand."""

    def layer(self, number: int) -> LayerCache:
        """The view of one layer."""

    def advance(self, tokens: int) -> None:
        """All layers have kept this pass's entries."""


def entry_width(config: ModelConfig) -> int:
    """Numbers kept a token and layer: L + R under MLA (V2 report section 2.1.4), 2 * H * C under plain attention."""
    if config.kv_lora_rank is not None:
        return config.kv_lora_rank + config.qk_rope_head_dim
    return 2 * config.num_attention_heads * config.v_head_dim


class LatentCache:
    """Room for `capacity` tokens of `batch` sequences of one length, written in step by every layer.

    `length` tokens are valid; the model advances it once all its layers have kept theirs.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_hidden_layers, batch, capacity, entry_width(config))
        self._stored = torch.empty(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._stored.shape[2]

    @property
    def bytes(self) -> int:
        """Memory that the cache holds, full or not."""
        return self._stored.numel() * self._stored.element_size()

    def positions(self, tokens: int) -> Tensor:
        return torch.arange(self.length, self.length + tokens, device=self._stored.device)

    def layer(self, number: int) -> LayerCache:
        return _CacheLayer(self, number)

    def advance(self, tokens: int) -> None:
        self.length += tokens

    def append(self, layer: int, new_BSW: Tensor) -> Tensor:
        """Writes one layer's new entries [B, S, width]; returns them after the valid ones [B, length + S, width]."""
        end = self.length + new_BSW.shape[1]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens and {end} are needed")
        self._stored[layer, :, self.length : end] = new_BSW
        return self._stored[layer, :, :end]


class _CacheLayer:
    """One layer's window on a LatentCache."""

    def __init__(self, cache: LatentCache, number: int) -> None:
        self._cache, self._number = cache, number

    def attend(self, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        return attention.over(queries, self._cache.append(self._number, entry_BSW))
