"""Next-token cross-entropy straight from hidden states, without a full [T, V] matrix of logits in memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def linear_cross_entropy_reference(
    hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor
) -> Tensor:
    """sum_t weights[t] * -log softmax(hidden[t] weight^T)[targets[t]], a float32 scalar."""
    logits = F.linear(hidden_TD, weight_VD).float()
    return (F.cross_entropy(logits, targets_T, reduction="none") * weights_T).sum()


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes loss and gradients chunk by chunk in the forward pass, since softmax - onehot is at hand there."""

    @staticmethod
    def forward(
        ctx: Any, hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor, chunk: int
    ) -> Tensor:
        loss = torch.zeros((), dtype=torch.float32, device=hidden_TD.device)
        grad_hidden = torch.empty_like(hidden_TD) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None
        for start in range(0, hidden_TD.shape[0], chunk):
            rows = slice(start, start + chunk)
            h, target, w = hidden_TD[rows], targets_T[rows, None], weights_T[rows].float()
            logp = F.log_softmax(F.linear(h, weight_VD).float(), dim=-1)
            loss -= (logp.gather(1, target).squeeze(1) * w).sum()
            grad = logp.exp_().scatter_add_(1, target, torch.full_like(target, -1.0, dtype=torch.float32))
            grad_logits = grad.mul_(w[:, None]).to(h.dtype)
            if grad_hidden is not None:
                torch.mm(grad_logits, weight_VD, out=grad_hidden[rows])
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.T, h)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        grad_hidden, grad_weight = ctx.saved_tensors
        scaled = (None if g is None else g.mul_(grad.to(g.dtype)) for g in (grad_hidden, grad_weight))
        return (*scaled, None, None, None)


def linear_cross_entropy(
    hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor, chunk: int = 2048
) -> Tensor:
    """The same with at most `chunk` rows of logits alive at once; float32 scalar, gradients to hidden and weight.

    hidden [T, D], weight [V, D], targets int64 [T], weights float [T] (0 leaves a position out; 1/N gives a mean).
    The backward pass may run once only, as gradients are scaled in place.
    """
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_TD, weight_VD, targets_T, weights_T, chunk
    )
    return loss
