"""SwiGLU: silu(gate) * up (arXiv 2002.05202, eq. 5), the feed-forward's non-linearity."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, elementwise; both of one shape."""
    return F.silu(gate) * up
