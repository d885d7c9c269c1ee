"""A gated feed-forward: down(silu(gate x) * up x), gate and up stacked so that they are one product.

Letters of shapes: D the model's width, F the feed-forward's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.floats.routed_experts import in_one_call
from centime.ops.linear import linear
from centime.ops.panels import Panels, panel_feed_forward


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, elementwise; both of one shape (arXiv 2002.05202, eq. 5)."""
    return F.silu(gate) * up


def feed_forward_reference(x: Tensor, gate_up_2FD: Tensor, down_DF: Tensor) -> Tensor:
    """W_down (silu(W_gate x) * W_up x) of x [..., D] -> [..., D] (arXiv 2002.05202, eq. 6)."""
    gate, up = (F.linear(x, weight) for weight in gate_up_2FD)
    return F.linear(swiglu(gate, up), down_DF)


def feed_forward(x: Tensor, gate_up_2FD: Tensor, down_DF: Tensor) -> Tensor:
    """The same with matrices plain or packed; in one call as stacks of one where they are in panels, or train
    and are small."""
    if isinstance(gate_up_2FD, Panels) and isinstance(down_DF, Panels):
        return panel_feed_forward(x, gate_up_2FD, down_DF)
    if torch.is_grad_enabled() and gate_up_2FD.dim() == 3:
        rows = x.flatten(0, -2)
        ids, gates = rows.new_zeros(len(rows), 1, dtype=torch.int64), rows.new_ones(len(rows), 1)
        if (found := in_one_call(rows, ids, gates, gate_up_2FD[None], down_DF[None])) is not None:
            return found.view_as(x)
    gate, up = linear(x, gate_up_2FD).chunk(2, dim=-1)
    return linear(swiglu(gate, up), down_DF)
