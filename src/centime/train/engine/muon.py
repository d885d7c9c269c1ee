"""Muon: momentum whose matrices are orthogonalised by Newton-Schulz, for 2-D weights and stacks of them.

DeepSeek-V4 trains its matrices so (report, algorithm 1 and section 4.2). torch.optim.Muon takes 2-D parameters only;
here the last two dimensions of a parameter are the matrix and those before them a batch, as stacked experts are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

Coefficients = Sequence[tuple[float, float, float]]

FAST = (3.4445, -4.7750, 2.0315)  # steep at zero, so small singular values grow fast (Jordan 2024; V4 report)
EXACT = (2.0, -1.5, 0.5)  # converges to one (V4 report)
V4_STEPS: Coefficients = (FAST,) * 8 + (EXACT,) * 2
FIVE_STEPS: Coefficients = (FAST,) * 5


def orthogonalise(
    matrices: Tensor, coefficients: Coefficients = V4_STEPS, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """U V^T of each matrix's singular value decomposition U S V^T, approximately; [..., M, N] in, the same out.

    X = X / |X|, then X <- a X + (b X X^T + c (X X^T)^2) X a step. A zero matrix stays zero.
    """
    batch = matrices.reshape(-1, *matrices.shape[-2:])
    tall = batch.shape[1] > batch.shape[2]
    x = (batch.mT if tall else batch).to(dtype).contiguous()
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True, dtype=torch.float32) + 1e-20).to(dtype)
    for a, b, c in coefficients:
        gram = torch.bmm(x, x.mT)
        mixed = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, mixed, x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """W <- W (1 - lr decay) - lr rms sqrt(max(M, N)) orthogonalise(mu B + G), with B <- mu B + G (Nesterov).

    lr: as AdamW's, since updates are scaled to its root mean square, `update_rms` (V4: 0.18); momentum (V4: 0.95);
    weight_decay (V4: 0.1); coefficients of Newton-Schulz; dtype it computes in. Parameters are at least 2-D; matrices
    of one shape are orthogonalised together. DTensors sharded over a batch dimension need no communication; a sharded
    matrix is gathered first.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        update_rms: float = 0.18,
        coefficients: Coefficients = V4_STEPS,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "update_rms": update_rms}
        super().__init__(params, defaults)
        self.coefficients, self.dtype = coefficients, dtype
        flat = [p for group in self.param_groups for p in group["params"] if p.dim() < 2]
        if flat:
            raise ValueError(f"Muon takes matrices; {len(flat)} parameters have fewer than two dimensions")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; `closure` is not supported and must be None."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].mul_(group["momentum"]).add_(p.grad)
                update = _whole_matrices(p.grad.add(buffer, alpha=group["momentum"]))
                by_shape[tuple(update.shape[-2:])].append((p, update))
            for shape, pairs in by_shape.items():
                stacked = torch.cat([update.reshape(-1, *shape) for _, update in pairs])
                deltas = orthogonalise(stacked, self.coefficients, self.dtype)
                scale = group["lr"] * group["update_rms"] * max(shape) ** 0.5
                counts = [update.numel() // (shape[0] * shape[1]) for _, update in pairs]
                for (p, update), delta in zip(pairs, deltas.split(counts), strict=True):
                    weight = p.to_local() if isinstance(p, DTensor) else p
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(_own_part(delta.view_as(update), p), alpha=-scale)


def _whole_matrices(update: Tensor) -> Tensor:
    """A plain tensor of whole matrices: the local ones where only batch dimensions are sharded, else all, gathered."""
    if not isinstance(update, DTensor):
        return update
    if all(place.is_replicate() or place.dim < update.dim() - 2 for place in update.placements):  # type: ignore[attr-defined]
        return update.to_local()
    return update.full_tensor()


def _own_part(delta: Tensor, p: Tensor) -> Tensor:
    """The rows of a gathered update that this rank holds of `p`."""
    if not isinstance(p, DTensor) or delta.shape == p.to_local().shape:
        return delta
    whole = DTensor.from_local(delta, p.device_mesh, [Replicate()] * p.device_mesh.ndim, run_check=False)
    return whole.redistribute(placements=p.placements).to_local()
