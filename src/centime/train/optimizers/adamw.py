"""AdamW over PyTorch's fused kernel, without torch.optim.

torch.optim imports PyTorch's compiler at its first step: two to three seconds of every run, for nothing that trains
here. The kernel is the one that torch.optim.AdamW(fused=True) calls, so every bit of an update is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


class AdamW:
    """W <- W (1 - lr decay) - lr m / (sqrt(v) + eps), m and v the bias-corrected moments (Loshchilov, Hutter 2019).

    groups: tensors (or DTensors) that carry their gradients, with the weight decay of each group. betas: decays of the
    first and second moment, `exp_avg` and `exp_avg_sq` in `state`, which stands beside `step`, the updates so far.
    """

    def __init__(
        self, groups: Sequence[tuple[Sequence[Tensor], float]], betas: tuple[float, float], eps: float
    ) -> None:
        self.groups, self.betas, self.eps = groups, betas, eps
        self.params = [p for tensors, _ in groups for p in tensors]
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update, with learning rate `lr`, of every tensor that has a gradient."""
        for tensors, decay in self.groups:
            moved = [p for p in tensors if p.grad is not None]
            if not moved:
                continue
            states = [self._state(p) for p in moved]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                moved,
                [p.grad for p in moved if p.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=lr,
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=decay,
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )

    def _state(self, p: Tensor) -> dict[str, Tensor]:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        return state
