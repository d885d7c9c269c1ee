"""What generation keeps of the past: for MLA the latent and one rotated key a token, L + R numbers a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig


class LatentCache:
    """Room for `capacity` tokens of `batch` sequences, written in step by every layer.

    Per layer and token it stores L + R numbers under MLA (V2 report section 2.1.4), 2 * H * head under plain
    multi-head attention. `length` tokens are valid; the model advances it once all its layers have appended.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if config.kv_lora_rank is not None:
            width = config.kv_lora_rank + config.qk_rope_head_dim
        else:
            width = 2 * config.num_attention_heads * config.v_head_dim
        self._stored = torch.empty(config.num_hidden_layers, batch, capacity, width, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._stored.shape[2]

    @property
    def bytes(self) -> int:
        """Memory that the cache holds, full or not."""
        return self._stored.numel() * self._stored.element_size()

    def append(self, layer: int, new_BSW: Tensor) -> Tensor:
        """Writes one layer's new entries [B, S, width]; returns them after the valid ones [B, length + S, width]."""
        end = self.length + new_BSW.shape[1]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens and {end} are needed")
        self._stored[layer, :, self.length : end] = new_BSW
        return self._stored[layer, :, :end]

    def truncate(self, length: int) -> None:
        """Forgets everything after the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot keep {length} of {self.length} tokens")
        self.length = length


class LayerCache:
    """One layer's window on a LatentCache."""

    def __init__(self, cache: LatentCache, layer: int) -> None:
        self._cache, self._layer = cache, layer

    @property
    def length(self) -> int:
        return self._cache.length

    def append(self, new_BSW: Tensor) -> Tensor:
        return self._cache.append(self._layer, new_BSW)
