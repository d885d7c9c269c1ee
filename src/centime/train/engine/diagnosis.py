"""Where numbers stopped being finite: the first weights, the first module's output, the first gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from centime.ops.finite import is_finite
from centime.train.engine.interface import TrainingEngine
from centime.train.engine.loss import LossShare, MicroBatch


def diagnose(engine: TrainingEngine, micro: MicroBatch, share: LossShare) -> str:
    """A sentence naming the layer and the parameter in trouble, after a step whose loss or gradient was not finite."""
    weights = [name for name, tensor in engine.state().items() if not is_finite(tensor)]
    gradients = [name for name, tensor in engine.gradients().items() if not is_finite(tensor)]
    output = first_bad_output(engine.objective, micro, share)
    if weights:
        return f"the weights are already damaged, first in {weights[0].partition('/')[2]} ({len(weights)} tensors)"
    if output:
        largest = max(
            engine.state().items(),
            key=lambda item: float(item[1].abs().max()) if item[0].startswith("weight/") else 0.0,
        )
        return (
            f"the forward pass overflows first in {output}; the largest weight is in "
            f"{largest[0].partition('/')[2]} ({float(largest[1].abs().max()):.3g})"
        )
    if gradients:
        where = f"{gradients[-1]} ({len(gradients)} tensors)"
        return f"the forward pass is finite and the gradient is not, first seen in {where}"
    return "loss and gradients are finite again: a passing fault of the data or the device"


@torch.no_grad()
def first_bad_output(objective: nn.Module, micro: MicroBatch, share: LossShare) -> str | None:
    """Name of the innermost module whose output is the first that is not finite in a forward pass; None if all are."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensors = output if isinstance(output, tuple) else (output,)
            if not found and any(isinstance(t, Tensor) and t.is_floating_point() and not is_finite(t) for t in tensors):
                found.append(name)

        return hook

    handles = [
        module.register_forward_hook(watch(name.removeprefix("model.")))
        for name, module in objective.named_modules()
        if name
    ]
    try:
        objective(micro, share)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
