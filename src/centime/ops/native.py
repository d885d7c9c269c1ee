"""Which tensors our own kernels take."""

from __future__ import annotations

import torch
from torch import Tensor

from centime.native.library import Library, library


def kernels_for(x: Tensor) -> Library | None:
    """The kernels, where there are some for x: bf16 on a processor, and no gradients are asked for."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or torch.is_grad_enabled():
        return None
    return library()
