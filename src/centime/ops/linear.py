"""x W^T: the plain product, and one for few rows on a CPU, where reading the weights is what takes the time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 128  # rows up to which the second form was the faster one on an AVX2 processor, at every shape tried
PARTS = 4  # pieces of W, so that a product of one row is shared by several threads too


def linear(x: Tensor, weight_OI: Tensor) -> Tensor:
    """x [..., I] times W^T, W [O, I] -> [..., O]; torch's own wherever gradients, another type or many rows are asked.

    MKL copies the second matrix of a product into panels before it begins. With x as the first and W^T as the second
    that is a copy of all weights for a handful of rows, and for one row it uses one thread. As W x^T, in pieces of W,
    weights are read once: 1.2 to 2.2 times as fast up to 64 rows in fp32 (docs/log.md).
    """
    rows = x.numel() // x.shape[-1]
    outputs, inputs = weight_OI.shape
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or rows > FEW or outputs % PARTS:
        return F.linear(x, weight_OI)
    columns_IT = x.reshape(rows, inputs).t().expand(PARTS, -1, -1)
    y_OT = torch.bmm(weight_OI.view(PARTS, outputs // PARTS, inputs), columns_IT).view(outputs, rows)
    return y_OT.t().contiguous().view(*x.shape[:-1], outputs)
