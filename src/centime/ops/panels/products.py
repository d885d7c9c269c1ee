"""Products with matrices in panels by our own kernels.

Letters of shapes: O outputs, I inputs, N and T rows, H heads, K experts of each row, E experts, D the model's width,
F an expert's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from centime.ops.panels.packing import Panels, library_of_panels


def panel_linear(x: Tensor, weight_OI: Panels) -> Tensor:
    """x [..., I] bf16 times W^T -> [..., O]."""
    x, inputs = x.contiguous(), weight_OI.inputs
    y = x.new_empty((*x.shape[:-1], weight_OI.outputs))
    library_of_panels().linear(x.data_ptr(), x.numel() // inputs, inputs, weight_OI.matrix(), y.data_ptr())
    return y


def panels_by_heads(x_NHI: Tensor, weight_HOI: Panels, out_NHO: Tensor | None = None) -> Tensor:
    """Every head's own product: y[n, h] = W_h x[n, h] for x [N, H, I] bf16 -> [N, H, O].

    x and `out`, written and returned where it is given, may have any strides but one of 1 within a head.
    """
    N, H, _ = x_NHI.shape
    y = x_NHI.new_empty(N, H, weight_HOI.outputs) if out_NHO is None else out_NHO
    assert x_NHI.stride(2) == y.stride(2) == 1
    library_of_panels().by_heads(
        *(x_NHI.data_ptr(), N, H, x_NHI.stride(0), x_NHI.stride(1), weight_HOI.matrix()),
        *(y.data_ptr(), y.stride(0), y.stride(1)),
    )
    return y


def panel_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Panels, down_EDF: Panels
) -> Tensor:
    """sum_k gates[t, k] FFN_{expert_ids[t, k]}(x[t]) -> [T, D] bf16.

    Products and the sum are float32, an expert's activations bf16; a row's result does not depend on the others.
    """
    ids, gates = expert_ids_TK.contiguous(), gates_TK.float().contiguous()
    return _experts(x_TD, (ids.data_ptr(), gates.data_ptr(), ids.shape[1]), gate_up_E2FD, down_EDF)


def panel_feed_forward(x: Tensor, gate_up_12FD: Panels, down_1DF: Panels) -> Tensor:
    """FFN(x) of x [..., D] with the only matrices of a stack -> [..., D] bf16; as an expert that all rows visit."""
    return _experts(x.reshape(-1, x.shape[-1]), (None, None, 1), gate_up_12FD, down_1DF).view_as(x)


def _experts(x_TD: Tensor, routing: tuple[int | None, int | None, int], gate_up: Panels, down: Panels) -> Tensor:
    x = x_TD.contiguous()
    y = torch.empty_like(x)
    library_of_panels().experts(
        *(x.data_ptr(), len(x), *routing, gate_up.matrix(), down.matrix(), gate_up.shape[0], y.data_ptr())
    )
    return y
