"""What generation keeps of the past: of a token and layer MLA's latent and rotated key, or keys and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.ops.latent.past import Past

Queries = tuple[Tensor, ...]  # each [B, S, H, .]


class Attention(Protocol):
    """The half of an attention that comes after the cache: queries against the entries that the cache kept."""

    def over(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Attention of S queries over T entries, the last S of them their own -> [B, S, H * v]."""

    def decode(self, queries: Queries, past: Past) -> Tensor:
        """N single tokens, each over entries of its own; queries [1, N, H, .] -> [1, N, H * v]."""


LayerCache = Callable[[Attention, Queries, Tensor], Tensor]
"""One layer's view of a cache, between a token's projections and its attention: keeps the new entries [B, S, W];
returns the queries' attention over all they may see, [B, S, H * v]."""


class Cache(Protocol):
    """What a forward pass needs of a cache, whatever its shape in memory."""

    def positions(self, tokens: int) -> Tensor:
        """int64 [S], where in their sequences the tokens of this pass stand."""

    def layer(self, number: int) -> LayerCache:
        """The view of one layer."""

    def advance(self, tokens: int) -> None:
        """All layers have kept this pass's entries."""


def entry_width(config: ModelConfig) -> int:
    """Numbers kept a token and layer: L + R under MLA (V2 report section 2.1.4), else C of each key and value head."""
    if config.kv_lora_rank is not None:
        return config.kv_lora_rank + config.qk_rope_head_dim
    return 2 * config.kv_heads * config.v_head_dim
