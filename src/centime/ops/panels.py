"""Matrices in panels, and products with them by our own kernels (native/centime.h has the order of numbers).

Letters of shapes: O outputs, I inputs, T rows, K experts of each, E experts, D the model's width, F an expert's; a
panel holds 32 outputs.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from centime.native.library import Library, library

PANEL = 32


class Panels(nn.Parameter):
    """bf16 matrices [..., O, I] as panels [..., O / 32, I / 2, 2, 16, 2], filled up with rows of zeros.

    gated: of matrices [..., 2, F, I], in panels of 16 rows of both halves. Has no gradient.
    """

    outputs: int  # O, or F where gated
    inputs: int  # I
    gated: bool

    def __new__(cls, panels: Tensor, outputs: int, gated: bool) -> Self:
        self: Self = super().__new__(cls, panels, requires_grad=False)
        self.outputs, self.inputs, self.gated = outputs, 2 * panels.shape[-4], gated
        return self

    def dense(self) -> Tensor:
        """The matrices as they were, [..., O, I] or [..., 2, F, I]."""
        *stack, count, pairs, _, half, _ = self.shape
        rows = self.detach().movedim(-4, -2).flatten(-2)  # [..., panels, 2, 16, I]
        if self.gated:
            return rows.movedim(-3, -4).reshape(*stack, 2, count * half, 2 * pairs)[..., : self.outputs, :]
        return rows.reshape(*stack, count * PANEL, 2 * pairs)[..., : self.outputs, :]


def can_panel(weight: Tensor) -> bool:
    """Whether a matrix can be kept in panels here: bf16, an even number of inputs, and kernels for it."""
    fits = weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and weight.shape[-1] % 2 == 0
    return fits and library() is not None


def panels(weight: Tensor) -> Panels:
    """W [..., O, I] in panels."""
    *stack, outputs, inputs = weight.shape
    filled = torch.nn.functional.pad(weight.detach(), (0, 0, 0, -outputs % PANEL))
    return Panels(filled.view(*stack, -1, 2, 16, inputs // 2, 2).movedim(-2, -4).contiguous(), outputs, gated=False)


def gated_panels(weight: Tensor) -> Panels:
    """Gate over up [..., 2, F, I] in panels of 16 rows of each."""
    *stack, _, width, inputs = weight.shape
    filled = torch.nn.functional.pad(weight.detach(), (0, 0, 0, -width % (PANEL // 2)))
    both = filled.view(*stack, 2, -1, 16, inputs // 2, 2).movedim(-5, -4)
    return Panels(both.movedim(-2, -4).contiguous(), width, gated=True)


def panel_linear(x: Tensor, weight_OI: Panels) -> Tensor:
    """x [..., I] bf16 times W^T -> [..., O]."""
    x, outputs, inputs = x.contiguous(), weight_OI.outputs, weight_OI.inputs
    y = x.new_empty((*x.shape[:-1], outputs))
    rows = x.numel() // inputs
    library_of_panels().linear(x.data_ptr(), rows, inputs, weight_OI.data_ptr(), outputs, inputs, y.data_ptr())
    return y


def panels_by_heads(x_NHI: Tensor, weight_HOI: Panels, out_NHO: Tensor | None = None) -> Tensor:
    """Every head's own product: y[n, h] = W_h x[n, h] for x [N, H, I] bf16 -> [N, H, O].

    x and `out`, written and returned where it is given, may have any strides but one of 1 within a head.
    """
    N, H, _ = x_NHI.shape
    y = x_NHI.new_empty(N, H, weight_HOI.outputs) if out_NHO is None else out_NHO
    assert x_NHI.stride(2) == y.stride(2) == 1
    library_of_panels().by_heads(
        *(x_NHI.data_ptr(), N, H, x_NHI.stride(0), x_NHI.stride(1), weight_HOI.data_ptr()),
        *(weight_HOI.outputs, weight_HOI.inputs, y.data_ptr(), y.stride(0), y.stride(1)),
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
    weights = (gate_up.data_ptr(), down.data_ptr(), gate_up.shape[0], down.inputs)
    library_of_panels().experts(x.data_ptr(), *x.shape, *routing, *weights, y.data_ptr())
    return y


def use_torch_threads() -> None:
    """Lets our kernels share their work among as many threads as torch's."""
    if found := library():
        found.use_threads(torch.get_num_threads())


def library_of_panels() -> Library:
    """The kernels; there are some, since there are panels."""
    found = library()
    assert found is not None, "panels are made where there are kernels"
    return found
