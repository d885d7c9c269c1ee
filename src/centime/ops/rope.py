"""Rotary position embedding (RoFormer, arXiv 2104.09864) with the frequencies of YaRN (arXiv 2309.00071) and Llama 3.

Everything here takes plain numbers, so that it can be checked against the papers one function at a time.

Letters of shapes: B sequences, S tokens, H heads, R rotated numbers of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from centime.ops.native import kernels_for


def inverse_frequencies(rope_dim: int, theta: float, device: torch.device | None = None) -> Tensor:
    """theta^(-2i/R) for i = 0 .. R/2 - 1, float32 [R/2] (RoFormer eq. 15)."""
    return theta ** (-torch.arange(0, rope_dim, 2, dtype=torch.float32, device=device) / rope_dim)


def yarn_inverse_frequencies(
    rope_dim: int,
    theta: float,
    factor: float,
    original_positions: int,
    beta_fast: float,
    beta_slow: float,
    device: torch.device | None = None,
) -> Tensor:
    """ "NTK-by-parts" frequencies, float32 [R/2] (YaRN section 3.2, eq. 17 to 20).

    A dimension that turns more than `beta_fast` times over the original context keeps its frequency; one that turns
    less than `beta_slow` times is interpolated, its frequency divided by `factor`; a linear ramp lies between. As in
    DeepSeek's code, the ends of the ramp are rounded outward to whole dimensions.
    """

    def dimension_turning(times: float) -> float:
        """The (fractional) dimension whose feature turns `times` times over the original context."""
        return rope_dim * math.log(original_positions / (times * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(dimension_turning(beta_fast)), 0)
    high = min(math.ceil(dimension_turning(beta_slow)), rope_dim - 1)
    width = high - low or 0.001  # equal ends would divide by zero; crossed ones (a tiny context) fall, as in their code
    ramp = ((torch.arange(rope_dim // 2, dtype=torch.float32, device=device) - low) / width).clamp(0, 1)
    kept = inverse_frequencies(rope_dim, theta, device)
    return kept / factor * ramp + kept * (1 - ramp)


def llama3_inverse_frequencies(
    rope_dim: int,
    theta: float,
    factor: float,
    original_positions: int,
    low_freq_factor: float,
    high_freq_factor: float,
    device: torch.device | None = None,
) -> Tensor:
    """Llama 3.1's frequencies, float32 [R/2] (apply_scaling of meta-llama/llama-models, models/llama3/model.py).

    As YaRN's: a dimension that turns `high_freq_factor` times or more over the original context keeps its frequency;
    one that turns `low_freq_factor` times or less has it divided by `factor`; between them the share that is kept grows
    linearly with the turns.
    """
    kept = inverse_frequencies(rope_dim, theta, device)
    turns = kept * original_positions / (2 * math.pi)
    share = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return kept * share + kept / factor * (1 - share)


def yarn_magnitude(factor: float, mscale: float) -> float:
    """sqrt(1/t) = 0.1 * mscale * ln(s) + 1, the attention temperature of YaRN (eq. 22; V2 report section 3.1.4)."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def rope_table(positions_S: Tensor, inverse_frequencies: Tensor, magnitude: float = 1.0) -> tuple[Tensor, Tensor]:
    """(cos, sin), each float32 [S, R/2] for integer positions [S], [B, S, R/2] for [B, S]; `magnitude` scales both."""
    angles = positions_S.to(torch.float32)[..., None] * inverse_frequencies
    return angles.cos() * magnitude, angles.sin() * magnitude


def apply_rope_reference(x_BSHR: Tensor, table: tuple[Tensor, Tensor], interleave: bool) -> Tensor:
    """Rotates x [B, S, H, R] by table [S, R/2] or [B, S, R/2]; the arithmetic is float32, the result has x's dtype.

    `interleave=True` rotates pairs (2i, 2i+1), as DeepSeek's weights expect; False rotates halves (i, i + R/2), as
    Llama's do. Both leave the result in the layout of the input.
    """
    cos, sin = (t.unsqueeze(-2) for t in table)
    x = x_BSHR.float()
    if interleave:
        even, odd = x[..., 0::2], x[..., 1::2]
        rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
    else:
        first, second = x.chunk(2, dim=-1)
        rotated = torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
    return rotated.to(x_BSHR.dtype)


def apply_rope(x_BSHR: Tensor, table: tuple[Tensor, Tensor], interleave: bool) -> Tensor:
    """The same, in one call for a single sequence in bf16."""
    kernels = kernels_for(x_BSHR)
    B, S, H, R = x_BSHR.shape
    if kernels is None or B > 1 or x_BSHR.stride(3) != 1:
        return apply_rope_reference(x_BSHR, table, interleave)
    cos, sin = (t.contiguous() for t in table)
    y = x_BSHR.new_empty(x_BSHR.shape)
    kernels.rope(
        *(x_BSHR.data_ptr(), S, H, x_BSHR.stride(1), x_BSHR.stride(2), cos.data_ptr(), sin.data_ptr(), R // 2),
        *(interleave, y.data_ptr(), H * R, R),
    )
    return y
