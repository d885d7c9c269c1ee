"""Muon: momentum whose matrices are orthogonalised by Newton-Schulz, for 2-D weights and stacks of them.

DeepSeek-V4 trains its matrices so (report, algorithm 1 and section 4.2). torch.optim.Muon takes 2-D parameters only;
here the last two dimensions of a parameter are the matrix and those before them a batch, as stacked experts are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from centime.ops.floats.newton_schulz import V4_STEPS, Coefficients, orthogonalise


class Muon:
    """W <- W (1 - lr decay) - lr rms sqrt(max(M, N)) orthogonalise(mu B + G), with B <- mu B + G (Nesterov).

    momentum (V4: 0.95); weight_decay (V4: 0.1); update_rms: the root mean square that updates are scaled to (V4: 0.18,
    AdamW's, so that its learning rates serve); coefficients of Newton-Schulz; dtype it computes in. Parameters carry
    their gradients and are at least 2-D (ValueError otherwise); matrices of one shape are orthogonalised together.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        update_rms: float = 0.18,
        coefficients: Coefficients = V4_STEPS,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.params = list(params)
        self.momentum, self.weight_decay, self.update_rms = momentum, weight_decay, update_rms
        self.coefficients, self.dtype = coefficients, dtype
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        flat = [p for p in self.params if p.dim() < 2]
        if flat:
            raise ValueError(f"Muon takes matrices; {len(flat)} parameters have fewer than two dimensions")

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update, with learning rate `lr`, of every parameter that has a gradient."""
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p in self.params:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            buffer = state["momentum"].mul_(self.momentum).add_(p.grad)
            update = self.whole_matrices(p.grad.add(buffer, alpha=self.momentum))
            by_shape[tuple(update.shape[-2:])].append((p, update))
        for shape, pairs in by_shape.items():
            stacked = torch.cat([update.reshape(-1, *shape) for _, update in pairs])
            deltas = orthogonalise(stacked, self.coefficients, self.dtype)
            scale = lr * self.update_rms * max(shape) ** 0.5
            counts = [update.numel() // (shape[0] * shape[1]) for _, update in pairs]
            for (p, update), delta in zip(pairs, deltas.split(counts), strict=True):
                weight, own = self.own_part(p, delta.view_as(update))
                weight.mul_(1 - lr * self.weight_decay)
                weight.add_(own, alpha=-scale)

    def whole_matrices(self, update: Tensor) -> Tensor:
        """An update as a plain tensor of whole matrices."""
        return update

    def own_part(self, p: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """The memory of `p` that this process writes, and its part of `delta`, the update of whole matrices."""
        return p, delta
