"""The rotary embedding of one model: frequencies, magnitude and softmax scale from its configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.ops.rope import inverse_frequencies, rope_table, yarn_inverse_frequencies, yarn_magnitude


def rope_for_positions(config: ModelConfig, positions_S: Tensor) -> tuple[Tensor, Tensor]:
    """(cos, sin), float32 [S, R/2], at integer positions [S] ([B, S, R/2] at [B, S]), on their device.

    With YaRN the table carries magnitude(mscale) / magnitude(mscale_all_dim), 1 in every DeepSeek release, because the
    rest of the correction sits in `softmax_scale`.
    """
    R, theta, yarn = config.qk_rope_head_dim, config.rope_theta, config.rope_scaling
    if yarn is None:
        return rope_table(positions_S, inverse_frequencies(R, theta, positions_S.device))
    frequencies = yarn_inverse_frequencies(
        R, theta, yarn.factor, yarn.original_max_position_embeddings, yarn.beta_fast, yarn.beta_slow, positions_S.device
    )
    magnitude = yarn_magnitude(yarn.factor, yarn.mscale) / yarn_magnitude(yarn.factor, yarn.mscale_all_dim)
    return rope_table(positions_S, frequencies, magnitude)


def softmax_scale(config: ModelConfig) -> float:
    """1 / sqrt(nope + R), times magnitude(mscale_all_dim)^2 under YaRN (V2 report section 3.1.4; V3 section 4.3)."""
    scale: float = (config.qk_nope_head_dim + config.qk_rope_head_dim) ** -0.5
    if config.rope_scaling is not None and config.rope_scaling.mscale_all_dim:
        scale *= yarn_magnitude(config.rope_scaling.factor, config.rope_scaling.mscale_all_dim) ** 2
    return scale


def positions(start: int, count: int, device: torch.device) -> Tensor:
    """int64 [count]: start, start + 1, ..."""
    return torch.arange(start, start + count, device=device)
