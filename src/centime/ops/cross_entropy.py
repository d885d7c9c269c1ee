"""Next-token cross-entropy straight from hidden states, without a full [T, V] matrix of logits in memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.native.library import Library
from centime.ops.native import float_kernels_for

CHUNK = 2048  # rows per large GEMM: enough to run at full speed, 2048 x V logits of memory
PANEL = 16  # a hidden state of whole ones is what our kernels take
SMALL = 2**24  # numbers of the output matrix up to which they do, which copy it twice
CACHED_LOGITS = 2**20  # logits per block on a CPU: 4 MiB in float32


def linear_cross_entropy_reference(
    hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor
) -> Tensor:
    """sum_t weights[t] * -log softmax(hidden[t] weight^T)[targets[t]], a float32 scalar."""
    logits = F.linear(hidden_TD, weight_VD).float()
    return (F.cross_entropy(logits, targets_T, reduction="none") * weights_T).sum()


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes loss and gradients in the forward pass, since softmax - onehot is at hand there.

    `CHUNK` rows go through the large GEMMs at once; their logits pass in blocks that stay in a CPU's cache between
    the matrix product, the softmax and the cast. The weights scale the small operands, never the logits. Our kernels
    do all of it in one call.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor, gradients: bool
    ) -> Tensor:
        T, V = hidden_TD.shape[0], weight_VD.shape[0]
        fits = hidden_TD.shape[1] % PANEL == 0 and 0 < weight_VD.numel() <= SMALL
        if fits and (kernels := float_kernels_for(hidden_TD, weight_VD)) is not None:
            loss, *found = _in_one_call(kernels, hidden_TD, weight_VD, targets_T, weights_T, gradients)
            ctx.save_for_backward(*found)
            return loss
        loss = torch.zeros((), dtype=torch.float32, device=hidden_TD.device)
        grad_hidden = torch.empty_like(hidden_TD)
        grad_weight = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None  # None: frozen
        grad_logits = hidden_TD.new_empty(min(CHUNK, T), V)
        block = CHUNK if hidden_TD.is_cuda else max(64, CACHED_LOGITS // V)
        for start in range(0, T, CHUNK):
            end = min(start + CHUNK, T)
            for first in range(start, end, block):
                rows = slice(first, min(first + block, end))
                target = targets_T[rows, None]
                logp = F.linear(hidden_TD[rows], weight_VD).log_softmax(-1, dtype=torch.float32)
                loss -= (logp.gather(1, target).squeeze(1) * weights_T[rows]).sum()
                if not gradients:
                    continue
                p = logp.exp_().scatter_add_(1, target, torch.full_like(target, -1.0, dtype=torch.float32))
                grad_logits[first - start : rows.stop - start].copy_(p)
            if not gradients:
                continue
            h, g, w = hidden_TD[start:end], grad_logits[: end - start], weights_T[start:end, None].to(hidden_TD.dtype)
            torch.mm(g, weight_VD, out=grad_hidden[start:end])
            grad_hidden[start:end] *= w
            if grad_weight is not None:
                grad_weight.addmm_(g.T, h * w)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        grad_hidden, grad_weight = ctx.saved_tensors
        if grad_weight is not None:
            grad_weight = grad_weight * grad.to(grad_weight.dtype)
        return grad_hidden * grad.to(grad_hidden.dtype), grad_weight, None, None, None


def _in_one_call(
    kernels: Library, hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor, gradients: bool
) -> list[Tensor]:
    """The loss and, if asked for, its gradients. Raises IndexError on a target that is no row of the weight."""
    hidden, weight, weights = hidden_TD.contiguous(), weight_VD.contiguous(), weights_T.float().contiguous()
    targets = targets_T.contiguous()
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < len(weight):
        raise IndexError(f"targets are rows of the output matrix, 0 to {len(weight) - 1}")
    found = [torch.empty_like(hidden), torch.empty_like(weight)] if gradients else []
    loss = kernels.cross_entropy(
        *(hidden.data_ptr(), *hidden.shape, weight.data_ptr(), len(weight), targets.data_ptr(), weights.data_ptr()),
        *((grad.data_ptr() for grad in found) if gradients else (None, None)),
    )
    return [torch.tensor(loss), *found]


def linear_cross_entropy(hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor, weights_T: Tensor) -> Tensor:
    """The same with at most `CHUNK` rows of logits alive at once; float32 scalar, gradients to hidden and weight.

    hidden [T, D], weight [V, D], targets int64 [T], weights float [T] (0 leaves a position out; 1/N gives a mean).
    Under torch.no_grad the loss alone is computed, a third of the work.
    """
    gradients = torch.is_grad_enabled()
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_TD, weight_VD, targets_T, weights_T, gradients
    )
    return loss
