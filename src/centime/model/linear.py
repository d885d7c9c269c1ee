"""The leaves of the model: a matrix without or with a bias, and RMSNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from centime.ops.linear import linear
from centime.ops.rms_norm import rms_norm


class Linear(nn.Module):
    """y = x W^T with weight [out, in]; no DeepSeek matrix carries a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight)

    def matrix(self) -> Tensor:
        """[out, in] as it is multiplied by, for who takes it apart."""
        return self.weight


class BiasedLinear(Linear):
    """y = x W^T + b with b [out]: queries, keys and values of Qwen2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight) + self.bias


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension (arXiv 1910.07467, eq. 4), computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)
