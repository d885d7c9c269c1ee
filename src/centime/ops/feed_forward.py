"""A gated feed-forward: down(silu(gate x) * up x), gate and up stacked so that they are one product.

Letters of shapes: D the model's width, F the feed-forward's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

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
    """The same with matrices plain or packed; those in panels as stacks of one, in one call."""
    if isinstance(gate_up_2FD, Panels) and isinstance(down_DF, Panels):
        return panel_feed_forward(x, gate_up_2FD, down_DF)
    gate, up = linear(x, gate_up_2FD).chunk(2, dim=-1)
    return linear(swiglu(gate, up), down_DF)
