"""The engine of one process: parameters, gradients and moments in flat buffers, nothing to communicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from centime.model import Transformer
from centime.recipe import Optimizer as Settings
from centime.train.engine.interface import MOMENTS, TrainingEngine, buffers
from centime.train.engine.loss import Objective
from centime.train.engine.mixed_precision import FlatParameters
from centime.train.optimizers import build, group_parameters


class SingleDevice(TrainingEngine):
    """Runs all parameters on one device."""

    rank, world = 0, 1

    def __init__(
        self,
        model: Transformer,
        settings: Settings,
        compute_dtype: torch.dtype,
        objective: Callable[[Transformer], Objective] = Objective,
    ) -> None:
        self.settings, self.bf16 = settings, compute_dtype == torch.bfloat16
        self.model = model
        self.flat = FlatParameters(model, compute_dtype, group_parameters(model, settings))
        self.objective = objective(model)
        self.forget_moments()

    def forget_moments(self) -> None:
        flat = self.flat
        matrices, grads = flat.named(flat.master), flat.named(flat.grad)
        muon_names = flat.named(flat.master[flat.segments[0]], 0)
        self._matrices = {name: _with_grad(matrices[name], grads[name]) for name in muon_names}
        decayed, plain = self._vectors = [
            [_with_grad(flat.master[s], flat.grad[s])] if s.stop > s.start else [] for s in flat.segments[1:]
        ]
        self.optimizers = build(self.settings, list(self._matrices.values()), decayed, plain, self.bf16)

    def begin_step(self) -> None:
        self.flat.begin_step()

    def gradient_norm(self) -> float:
        self.flat.finish_gradients()
        return float(torch.linalg.vector_norm(self.flat.grad))

    def update(self, lr: float, scale: float) -> None:
        if scale != 1.0:
            self.flat.grad.mul_(scale)
        for optimizer in self.optimizers:
            optimizer.step(lr)
        self.flat.publish()

    def all_reduce(self, tensor: Tensor) -> None:
        pass

    def gradients(self) -> dict[str, Tensor]:
        return self.flat.named(self.flat.grad)

    def state(self) -> dict[str, Tensor]:
        flat = self.flat
        found = {f"weight/{name}": view for name, view in flat.named(flat.master).items()}
        found |= {f"buffer/{name}": tensor for name, tensor in buffers(self.model).items()}
        for moment, by_name in self._moments().items():
            found |= {f"{moment}/{name}": view for name, view in by_name.items()}
        steps = [self._state_of(p)["step"] for group in self._vectors for p in group if self._state_of(p)]
        return found | ({"adamw/step": steps[0]} if steps else {})

    def _state_of(self, p: nn.Parameter) -> dict[str, Tensor]:
        return next((optimizer.state[p] for optimizer in self.optimizers if p in optimizer.state), {})

    def _moments(self) -> dict[str, dict[str, Tensor]]:
        """Moment name -> parameter name -> view of the live tensor; empty before the first step."""
        found: dict[str, dict[str, Tensor]] = {moment: {} for moment in MOMENTS}
        for name, p in self._matrices.items():
            if state := self._state_of(p):
                found["momentum"][name] = state["momentum"]
        for segment, group in enumerate(self._vectors, start=1):
            for p in group:
                for moment in ("exp_avg", "exp_avg_sq"):
                    if state := self._state_of(p):
                        found[moment] |= self.flat.named(state[moment], segment)
        return found

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], moments: bool = True) -> None:
        self.flat.load({name: state[f"weight/{name}"] for name in self.flat.named(self.flat.master)})
        for name, tensor in buffers(self.model).items():
            tensor.copy_(state[f"buffer/{name}"])
        self.forget_moments()
        if not moments or not any(key.startswith(MOMENTS) for key in state):
            return
        for p in self._matrices.values():
            self.optimizers[0].state[p]["momentum"] = torch.zeros_like(p)
        for group in self._vectors:
            for p in group:
                self.optimizers[-1].state[p].update(
                    step=state["adamw/step"].clone(), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p)
                )
        for moment, by_name in self._moments().items():
            for name, view in by_name.items():
                view.copy_(state[f"{moment}/{name}"])


def _with_grad(values: Tensor, grad: Tensor) -> nn.Parameter:
    """A leaf over existing memory whose gradient lives in existing memory."""
    leaf = nn.Parameter(values.detach(), requires_grad=True)
    leaf.grad = grad
    return leaf
