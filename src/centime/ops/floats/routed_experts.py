"""Routed experts with their gradients, a call of our kernels each way.

Letters of shapes: T tokens, K experts of each, E experts, D the model's width, F an expert's.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from centime.native.library import FloatExperts, FloatRouting, FloatSlopes, Library
from centime.ops.native import float_kernels_for

PANEL = 16  # widths of whole ones are what our kernels take
# Numbers of an expert's matrix up to which they do: 1.5 to 1.9 times as fast as PyTorch's products at 128 x 64, no
# faster at 512 x 192 (docs/log.md).
SMALL = 2**16


class _RoutedExpertsInOneCall(torch.autograd.Function):
    """Rows are sorted, multiplied and summed up again in the call; of the way there a pair's 2 F products are kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, expert_ids: Tensor, gates: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
        kernels = float_kernels_for(x)
        assert kernels is not None
        tensors = [tensor.contiguous() for tensor in (x, expert_ids, gates, gate_up, down)]
        y, both = torch.empty_like(tensors[0]), x.new_empty(expert_ids.numel(), 2 * down.shape[2])
        kernels.routed_forward(*_told(*tensors[1:]), tensors[0].data_ptr(), both.data_ptr(), y.data_ptr())
        ctx.save_for_backward(*tensors, both)
        ctx.kernels = kernels
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, expert_ids, gates, gate_up, down, both = ctx.saved_tensors
        kernels: Library = ctx.kernels
        grad_y = grad_outputs[0].contiguous()
        slopes = dx, dgates, dgate_up, ddown = [torch.empty_like(tensor) for tensor in (x, gates, gate_up, down)]
        kernels.routed_backward(
            *_told(expert_ids, gates, gate_up, down),
            *(x.data_ptr(), both.data_ptr(), grad_y.data_ptr()),
            ctypes.byref(FloatSlopes(*(slope.data_ptr() for slope in slopes))),
        )
        return dx, None, dgates, dgate_up, ddown


def _told(expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor) -> tuple[Any, Any]:
    """The experts and the routing as the kernels take them."""
    experts = FloatExperts(gate_up_E2FD.data_ptr(), down_EDF.data_ptr(), *down_EDF.shape)
    routing = FloatRouting(expert_ids_TK.data_ptr(), gates_TK.data_ptr(), *expert_ids_TK.shape)
    return ctypes.byref(experts), ctypes.byref(routing)


def in_one_call(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
) -> Tensor | None:
    """`routed_experts` of small experts in float32 -> [T, D]; None where the kernels do not take them.

    Expert ids are below E. Gradients reach x, gates and both weights.
    """
    D, F = down_EDF.shape[-2:]
    fits = D % PANEL == 0 and F % PANEL == 0 and 0 < D * F <= SMALL and expert_ids_TK.numel()
    if not fits or float_kernels_for(x_TD, gates_TK, gate_up_E2FD, down_EDF) is None:
        return None
    out: Tensor = _RoutedExpertsInOneCall.apply(  # type: ignore[no-untyped-call]
        x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF
    )
    return out
