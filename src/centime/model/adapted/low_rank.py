"""One adapter: two thin matrices whose product is added to a frozen one (LoRA, arXiv 2106.09685, eq. 3).

Letters of shapes: O outputs and I inputs of the frozen matrix, R the rank, E experts of a stack.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centime.ops.linear import linear
from centime.ops.quantised import Quantised


class LowRank(nn.Module):
    """scale B A beside a matrix [O, I], or a stack [E, O, I]: A [.., R, I] and B [.., O, R], B zero at first.

    dropout: share of the inputs left out while gradients flow, and at no other time. Uninitialised until `begin`.
    """

    def __init__(self, shape: tuple[int, ...], rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        *stack, outputs, inputs = shape
        self.a = nn.Parameter(torch.empty(*stack, rank, inputs))
        self.b = nn.Parameter(torch.empty(*stack, outputs, rank))
        self.scale, self.dropout = scale, dropout

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """A uniform within 1 / sqrt(I), as PyTorch's linear layers and PEFT begin; B zero, so that nothing changes."""
        bound = self.a.shape[-1] ** -0.5
        self.a.copy_((2 * torch.rand(self.a.shape, generator=generator) - 1) * bound)
        self.b.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """x [..., I] -> what is added to the frozen product, [..., O]."""
        if self.dropout and self.training and torch.is_grad_enabled():
            x = F.dropout(x, self.dropout)
        return linear(linear(x, self.a), self.b) * self.scale

    def product(self) -> Tensor:
        """What is added to the frozen matrix, or to the stack of them, [.., O, I]."""
        return self.b @ self.a * self.scale


def with_product(frozen: Tensor, adapter: LowRank) -> Tensor:
    """The frozen matrix or stack, plain, with what the adapter adds to it; gradients reach the adapter."""
    plain = frozen.dense(adapter.a.dtype) if isinstance(frozen, Quantised) else frozen
    return plain + adapter.product().view(plain.shape)
