"""x W^T: the plain product, and two for few rows on a CPU, where reading the weights is what takes the time.

Letters of shapes: O outputs, I inputs, T rows of the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.native import fp8_on_gpu
from centime.ops.panels import Panels, can_panel, panel_linear, panels
from centime.ops.precision import native_bf16
from centime.ops.quantised import Quantised, fp8_blocks

FEW = 128  # rows up to which W x^T was the faster one in fp32 on an AVX2 processor, at every shape tried
PARTS = 4  # pieces of W, so that a product of one row is shared by several threads too
ROWS = 4  # below these oneDNN takes another way, which is the slower one


def linear(x: Tensor, weight_OI: Tensor) -> Tensor:
    """x [..., I] times W^T, W [O, I] (or [..., I], stacked: O is all of it), plain, packed or quantised -> [..., O].

    Without gradients a few rows in fp32 are computed as W x^T. MKL copies the second matrix of a product into panels
    before it begins. With x as the first and W^T as the second that is a copy of all weights for a handful of rows, and
    for one row it uses one thread. As W x^T, in pieces of W, weights are read once: 1.2 to 2.2 times as fast up to 64
    rows (docs/log.md).
    """
    if isinstance(weight_OI, Panels):
        return panel_linear(x, weight_OI)
    if isinstance(weight_OI, Quantised):
        if torch.is_grad_enabled() and x.requires_grad:
            through: Tensor = _FrozenLinear.apply(x, weight_OI)  # type: ignore[no-untyped-call]
            return through
        if fp8_on_gpu(x) and (blocks := fp8_blocks(weight_OI, 2)) is not None:
            from centime.ops.gpu.fp8 import fp8_linear, quantise_rows

            rows_TI = x.reshape(-1, x.shape[-1])
            return fp8_linear(*quantise_rows(rows_TI), *blocks, x.dtype).view(*x.shape[:-1], -1)
        weight_OI = weight_OI.dense(x.dtype)
    if weight_OI.is_mkldnn:
        return _packed_linear(x, weight_OI)
    weight_OI = weight_OI.flatten(0, -2)
    rows = x.numel() // x.shape[-1]
    outputs, inputs = weight_OI.shape
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or rows > FEW or outputs % PARTS:
        return F.linear(x, weight_OI)
    columns_IT = x.reshape(rows, inputs).t().expand(PARTS, -1, -1)
    y_OT = torch.bmm(weight_OI.view(PARTS, outputs // PARTS, inputs), columns_IT).view(outputs, rows)
    return y_OT.t().contiguous().view(*x.shape[:-1], outputs)


class _FrozenLinear(torch.autograd.Function):
    """The product of a quantised matrix, made plain in the forward pass and again in the backward one: in between its
    codes alone are kept (QLoRA, arXiv 2305.14314, section 3)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Quantised) -> Tensor:
        ctx.weight = weight_OI
        return F.linear(x, weight_OI.dense(x.dtype).flatten(0, -2))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        dy = grad_outputs[0]
        return dy @ ctx.weight.dense(dy.dtype).flatten(0, -2), None


def packs(weight: Tensor) -> bool:
    """Whether `pack` gains anything: for bf16 where there are kernels for panels, or a processor that multiplies it."""
    if can_panel(weight):
        return True
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or not torch.backends.mkldnn.is_available():
        return False
    return native_bf16(weight.device)


def pack(weight_OI: Tensor) -> Tensor:
    """W [O, I] (or [..., I], stacked: O is all of it) for products without gradients: in panels, or as oneDNN reads it.

    From a plain W oneDNN makes its blocks anew in every product. Packed once, 1.2 to 1.9 times as fast up to 16 rows,
    never slower, and the same bits (docs/log.md).
    """
    if can_panel(weight_OI):
        return panels(weight_OI if isinstance(weight_OI, Quantised) else weight_OI.detach().flatten(0, -2))
    flat_OI = weight_OI.detach().flatten(0, -2)
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(flat_OI, ROWS)
    return packed


def unpack(packed: Tensor) -> Tensor:
    """A packed matrix as it was."""
    if isinstance(packed, Panels):
        return packed.dense()
    return packed.to_dense() if packed.is_mkldnn else packed.detach()


def _packed_linear(x: Tensor, packed_OI: Tensor) -> Tensor:
    rows = x.numel() // x.shape[-1]
    if 0 < rows < ROWS:
        copies = x.reshape(rows, -1).repeat(-(-ROWS // rows), 1)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(copies, packed_OI, None, "none", [], "")
        return y[:rows].view(*x.shape[:-1], -1)
    y = torch.ops.mkldnn._linear_pointwise(x, packed_OI, None, "none", [], "")
    return y
