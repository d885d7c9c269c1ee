"""The plainest cache: sequences of one length, their entries one behind the other."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.model.cache import Attention, LayerCache, Queries, entry_width


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
        self.capacity, self.length = capacity, 0

    def positions(self, tokens: int) -> Tensor:
        return torch.arange(self.length, self.length + tokens, device=self._stored.device)

    def layer(self, number: int) -> LayerCache:
        return partial(self._attend, number)

    def advance(self, tokens: int) -> None:
        self.length += tokens

    def _attend(self, layer: int, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        """Writes one layer's new entries; attends over the valid ones with them behind [B, length + S, width]."""
        end = self.length + entry_BSW.shape[1]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens and {end} are needed")
        self._stored[layer, :, self.length : end] = entry_BSW
        return attention.over(queries, self._stored[layer, :, :end])
