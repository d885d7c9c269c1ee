"""Whether tensors hold numbers: no NaN, no infinity."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def is_finite(tensor: Tensor) -> bool:
    """Whether every element is a finite number; one pass, no copy (a NaN comes out of minimum and maximum)."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)
    return bool(torch.isfinite(low) & torch.isfinite(high))


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a number that is not finite; None where all are."""
    return next((name for name, tensor in tensors.items() if not is_finite(tensor)), None)
