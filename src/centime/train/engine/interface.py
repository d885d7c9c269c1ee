"""What a step sees of the devices that it runs on: losses and gradients of micro-batches, updates, named state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from centime.train.engine.loss import LossShare, MicroBatch, Objective

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum")


class TrainingEngine(ABC):
    """What a step needs of the devices. State is named tensors, the same for any number of them."""

    objective: Objective
    rank: int
    world: int

    def forward_backward(self, micro_batches: Iterable[MicroBatch], share: LossShare) -> tuple[Tensor, Tensor]:
        """Forward and backward over this rank's micro-batches of a step; the gradients of the last one are forgotten.

        Returns, summed over all ranks, the losses' parts (float32 [3 + measures], as Losses has them) and the experts'
        loads (int64 [routers, E]). Every rank calls it, with as many micro-batches.
        """
        self.begin_step()
        parts, loads = None, None
        for micro in micro_batches:
            losses = self.objective(micro, share)
            (losses.total * self.world).backward()  # the gradients are averaged over ranks
            parts = losses.parts if parts is None else parts + losses.parts
            loads = losses.loads if loads is None else loads + losses.loads
        assert parts is not None
        assert loads is not None
        self.all_reduce(parts)
        self.all_reduce(loads)
        return parts, loads

    @abstractmethod
    def begin_step(self) -> None:
        """Forgets the gradients of the last step."""

    @abstractmethod
    def gradient_norm(self) -> float:
        """Euclidean norm of the step's whole gradient, summed over ranks; call once, after the last backward pass."""

    @abstractmethod
    def update(self, lr: float, scale: float) -> None:
        """One optimizer step on the gradients times `scale`."""

    @abstractmethod
    def all_reduce(self, tensor: Tensor) -> None:
        """Sums a small tensor over the ranks, in place."""

    @abstractmethod
    def gradients(self) -> dict[str, Tensor]:
        """This rank's gradients by parameter name, to look for the cause of a trouble."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Whole fp32 tensors by 'kind/name': weight, exp_avg, exp_avg_sq, momentum, buffer, and adamw/step.

        May share memory with the live state: copy before the next step. Every rank calls it.
        """

    @abstractmethod
    def load(self, state: Mapping[str, Tensor], moments: bool = True) -> None:
        """Sets weights and buffers, and the optimizer's moments if asked (else they start anew)."""

    @abstractmethod
    def forget_moments(self) -> None:
        """Lets the optimizer start anew."""


def buffers(model: nn.Module) -> dict[str, Tensor]:
    """The persistent buffers by name: the routing biases. None where weights are frozen: these are theirs."""
    if not all(parameter.requires_grad for parameter in model.parameters()):
        return {}
    return {name: tensor for name, tensor in model.named_buffers() if name in model.state_dict(keep_vars=True)}
