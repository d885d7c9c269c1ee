"""The rotary embedding of one model: frequencies, magnitude and softmax scale from its configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from centime.catalogue.model_config import LinearScaling, Llama3Scaling, ModelConfig, YarnScaling
from centime.ops.rope import (
    inverse_frequencies,
    llama3_inverse_frequencies,
    rope_table,
    yarn_inverse_frequencies,
    yarn_magnitude,
)


def rope_for_positions(config: ModelConfig, positions_S: Tensor) -> tuple[Tensor, Tensor]:
    """(cos, sin), float32 [S, R/2], at integer positions [S] ([B, S, R/2] at [B, S]), on their device.

    With YaRN the table carries magnitude(mscale) / magnitude(mscale_all_dim), 1 in every DeepSeek release, because the
    rest of the correction sits in `softmax_scale`.
    """
    R, theta, device = config.qk_rope_head_dim, config.rope_theta, positions_S.device
    match config.rope_scaling:
        case None:
            return rope_table(positions_S, inverse_frequencies(R, theta, device))
        case LinearScaling(factor=factor):
            return rope_table(positions_S, inverse_frequencies(R, theta, device) / factor)
        case Llama3Scaling() as llama:
            return rope_table(positions_S, llama3_frequencies(R, theta, llama, device))
        case YarnScaling() as yarn:
            original = yarn.original_max_position_embeddings
            frequencies = yarn_inverse_frequencies(
                R, theta, yarn.factor, original, yarn.beta_fast, yarn.beta_slow, device
            )
            magnitude = yarn_magnitude(yarn.factor, yarn.mscale) / yarn_magnitude(yarn.factor, yarn.mscale_all_dim)
            return rope_table(positions_S, frequencies, magnitude)


def llama3_frequencies(R: int, theta: float, scaling: Llama3Scaling, device: torch.device | None = None) -> Tensor:
    """The frequencies of heads of R numbers under Llama 3's scaling, float32 [R/2]."""
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    return llama3_inverse_frequencies(
        R, theta, scaling.factor, scaling.original_max_position_embeddings, low, high, device
    )


def softmax_scale(config: ModelConfig) -> float:
    """1 / sqrt(nope + R), times magnitude(mscale_all_dim)^2 under YaRN (V2 report section 3.1.4; V3 section 4.3)."""
    scale: float = (config.qk_nope_head_dim + config.qk_rope_head_dim) ** -0.5
    yarn = config.rope_scaling
    if isinstance(yarn, YarnScaling) and yarn.mscale_all_dim:
        scale *= yarn_magnitude(yarn.factor, yarn.mscale_all_dim) ** 2
    return scale


def positions(start: int, count: int, device: torch.device) -> Tensor:
    """int64 [count]: start, start + 1, ..."""
    return torch.arange(start, start + count, device=device)
