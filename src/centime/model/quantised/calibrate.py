"""How much each input of a model's matrices counts: its mean square over a text that is run through the model.

An error in the numbers of an input that is large on real text harms the output more than one where it is near zero
(AWQ, arXiv 2306.00978, section 3.1; the importance matrix of llama.cpp). What is measured goes to `ops.quantised`.

Letters of shapes: T tokens, K experts of each, E experts, D the model's width, I the inputs of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from centime.model.decoder import Transformer
from centime.model.experts import Experts, FeedForward
from centime.model.linear import Linear
from centime.ops.feed_forward import swiglu
from centime.ops.linear import linear

_SHARED = 16  # tokens that the mean of all experts counts as in each one's: some see few, or none
Add = Callable[..., None]


@torch.no_grad()
def importance(model: Transformer, texts: Iterable[Tensor]) -> dict[str, Tensor]:
    """Mean squares of inputs by the names of the model's matrices: [I], of stacks of experts [E, I], float32.

    texts: token ids int64 [B, S]. Matrices that these do not pass through (the head, MTP modules) are left out.
    """
    squares: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}

    def add(name: str, x: Tensor, expert: int = 0, experts: int = 1) -> None:
        rows = x.reshape(-1, x.shape[-1]).float()
        if name not in squares:
            squares[name], counts[name] = torch.zeros(experts, rows.shape[1]), torch.zeros(experts, 1)
        squares[name][expert] += rows.square().sum(0).cpu()
        counts[name][expert] += len(rows)

    modules = [(name, m) for name, m in model.named_modules() if isinstance(m, Linear | FeedForward | Experts)]
    hooks = [module.register_forward_pre_hook(_noting(name, add)) for name, module in modules]
    try:
        for ids in texts:
            model.features(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _means(sums, counts[name]) for name, sums in squares.items()}


def _means(sums_EI: Tensor, counts_E1: Tensor) -> Tensor:
    if len(sums_EI) == 1:
        return sums_EI[0] / counts_E1[0]
    common = sums_EI.sum(0) / counts_E1.sum()
    return (sums_EI + _SHARED * common) / (counts_E1 + _SHARED)


def _noting(name: str, add: Add) -> Callable[[nn.Module, Any], None]:
    """What adds the inputs of a module's matrices before it runs."""

    def hook(module: nn.Module, args: Any) -> None:
        if isinstance(module, Experts):
            x_TD, ids_TK, _ = args
            for expert in ids_TK.unique().tolist():
                x = x_TD[(ids_TK == expert).any(1)]
                add(f"{name}.gate_up", x, expert, len(module.down))
                add(f"{name}.down", _activations(x, module.gate_up[expert]), expert, len(module.down))
        elif isinstance(module, FeedForward):
            add(f"{name}.gate_up", args[0])
            add(f"{name}.down", _activations(args[0], module.gate_up))
        else:
            add(f"{name}.weight", args[0])

    return hook


def _activations(x: Tensor, gate_up_2FD: Tensor) -> Tensor:
    """What `down` is given."""
    return swiglu(*linear(x, gate_up_2FD).chunk(2, dim=-1))
