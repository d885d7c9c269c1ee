"""The engine of several processes: FSDP2 applied to the model from outside, state gathered to whole tensors.

Every block is one unit of sharding; the objective, with all that is no block (embedding, norms, head), is the root.
Checkpoints hold whole tensors by name, so a run resumes on any number of devices, one included, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate

from centime.model import Transformer
from centime.recipe import Optimizer as Settings
from centime.train.engine.interface import MOMENTS, TrainingEngine, buffers
from centime.train.engine.loss import Objective
from centime.train.engine.process_group import Ranks
from centime.train.engine.wrap import blocks
from centime.train.optimizers import build, group_parameters
from centime.train.optimizers.sharded_muon import ShardedMuon


class Sharded(TrainingEngine):
    """The engine of one rank of several: parameters, gradients and moments are its shards of DTensors."""

    def __init__(
        self,
        model: Transformer,
        settings: Settings,
        compute_dtype: torch.dtype,
        place: Ranks,
        objective: Callable[[Transformer], Objective] = Objective,
    ) -> None:
        self.rank, self.world = place.rank, place.world
        self.settings, self.bf16, self.model = settings, compute_dtype == torch.bfloat16, model
        self._device = next(model.parameters()).device
        self.groups = group_parameters(model, settings)
        mesh = init_device_mesh(self._device.type, (place.world,))
        # Inputs keep their types: the rotary table stays fp32 beside bf16 activations, as on one device.
        policy = MixedPrecisionPolicy(param_dtype=compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for block in blocks(model):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        self.objective = objective(model)
        fully_shard(self.objective, mesh=mesh, mp_policy=policy)
        self._parameters: dict[str, Any] = dict(model.named_parameters())  # DTensors, which are no nn.Parameter to mypy
        self.forget_moments()

    def forget_moments(self) -> None:
        muon, decayed, plain = ([self._parameters[name] for name in names] for names in self.groups)
        self.optimizers = build(self.settings, muon, decayed, plain, self.bf16, ShardedMuon)

    def begin_step(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None

    def gradient_norm(self) -> float:
        for parameter in self._parameters.values():
            if parameter.grad is None:  # reached by no backward pass: an expert's absence is a gradient of zero
                parameter.grad = torch.zeros_like(parameter)
        squares = torch.stack([gradient.square().sum() for gradient in self.gradients().values()]).sum()
        self.all_reduce(squares)
        return float(squares.sqrt())

    def update(self, lr: float, scale: float) -> None:
        if scale != 1.0:
            torch._foreach_mul_(list(self.gradients().values()), scale)
        for optimizer in self.optimizers:
            optimizer.step(lr)

    def all_reduce(self, tensor: Tensor) -> None:
        if tensor.device == self._device:
            dist.all_reduce(tensor)
        else:  # NCCL takes GPU tensors only
            moved = tensor.to(self._device)
            dist.all_reduce(moved)
            tensor.copy_(moved)

    def gradients(self) -> dict[str, Tensor]:
        return {name: p.grad.to_local() for name, p in self._parameters.items() if isinstance(p.grad, DTensor)}

    def state(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {f"weight/{name}": p.detach().full_tensor() for name, p in self._parameters.items()}
        found |= {f"buffer/{name}": tensor for name, tensor in buffers(self.model).items()}
        for name, p in self._parameters.items():
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(p, {}).items():
                    whole = value.full_tensor() if isinstance(value, DTensor) else value
                    found[f"{key}/{name}" if key in MOMENTS else "adamw/step"] = whole
        return found

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], moments: bool = True) -> None:
        for name, p in self._parameters.items():
            p.to_local().copy_(_own_shard(state[f"weight/{name}"], p).to_local())
        for name, tensor in buffers(self.model).items():
            tensor.copy_(state[f"buffer/{name}"])
        self.forget_moments()
        if not moments:
            return
        of = {p: optimizer for optimizer in self.optimizers for p in optimizer.params}
        for name, p in self._parameters.items():
            kept = {m: _own_shard(state[f"{m}/{name}"], p) for m in MOMENTS if f"{m}/{name}" in state}
            if "exp_avg" in kept:
                kept["step"] = state["adamw/step"].clone()  # type: ignore[assignment]
            if kept:
                of[p].state[p].update(kept)


def _own_shard(whole: Tensor, like: DTensor) -> DTensor:
    """A whole tensor, the same on every rank, cut as `like` is; nothing is communicated."""
    mesh = like.device_mesh
    replicated = DTensor.from_local(whole.to(like.device), mesh, [Replicate()] * mesh.ndim, run_check=False)
    return replicated.redistribute(placements=like.placements)
