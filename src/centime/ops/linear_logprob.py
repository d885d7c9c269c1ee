"""Log-probabilities of given tokens straight from hidden states, differentiable, without [T, V] logits in memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.cross_entropy import CACHED_LOGITS, CHUNK


def linear_logprob_reference(
    hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """log softmax(hidden[t] weight^T / temperature)[targets[t]] and the entropy of that distribution, float32 [T] each.

    The entropy is measured, never trained on: it has no gradient.
    """
    logp = (F.linear(hidden_TD, weight_VD).float() / temperature).log_softmax(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return logp.gather(1, targets_T[:, None]).squeeze(1), entropy.detach()


class _LinearLogprob(torch.autograd.Function):
    """Keeps the hidden states and each row's normaliser; logits are computed again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        T = hidden_TD.shape[0]
        found, entropy = (hidden_TD.new_empty(T, dtype=torch.float32) for _ in range(2))
        for rows in _blocks(hidden_TD, weight_VD):
            logp = _log_probabilities(hidden_TD[rows], weight_VD, temperature)
            found[rows] = logp.gather(1, targets_T[rows, None]).squeeze(1)
            entropy[rows] = -(logp.exp() * logp).sum(-1)
        ctx.save_for_backward(hidden_TD, weight_VD, targets_T)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropy)
        return found, entropy

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """d log p[target] / d logits = (onehot(target) - p) / temperature, row by row times what comes from above."""
        hidden_TD, weight_VD, targets_T = ctx.saved_tensors
        above_T = grad_outputs[0] / ctx.temperature
        grad_hidden = torch.empty_like(hidden_TD)
        grad_weight = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None  # None: frozen
        for rows in _blocks(hidden_TD, weight_VD):
            p = _log_probabilities(hidden_TD[rows], weight_VD, ctx.temperature).exp_().neg_()
            p.scatter_add_(1, targets_T[rows, None], torch.ones_like(targets_T[rows, None], dtype=torch.float32))
            grad_logits = p.mul_(above_T[rows, None]).to(hidden_TD.dtype)
            torch.mm(grad_logits, weight_VD, out=grad_hidden[rows])
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.T, hidden_TD[rows])
        return grad_hidden, grad_weight, None, None


def _blocks(hidden_TD: Tensor, weight_VD: Tensor) -> list[slice]:
    """Rows whose logits are alive at once: few enough for a CPU's cache."""
    block = CHUNK if hidden_TD.is_cuda else max(64, CACHED_LOGITS // weight_VD.shape[0])
    return [slice(first, first + block) for first in range(0, hidden_TD.shape[0], block)]


def _log_probabilities(hidden_TD: Tensor, weight_VD: Tensor, temperature: float) -> Tensor:
    logits = F.linear(hidden_TD, weight_VD)
    return (logits if temperature == 1.0 else logits.float() / temperature).log_softmax(-1, dtype=torch.float32)


def linear_logprob(
    hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The same with a few rows of logits alive at once; gradients of the first to hidden and weight.

    hidden [T, D], weight [V, D], targets int64 [T]; temperature divides the logits, as it did when they were drawn.
    """
    found: tuple[Tensor, Tensor] = _LinearLogprob.apply(  # type: ignore[no-untyped-call]
        hidden_TD, weight_VD, targets_T, temperature
    )
    return found
