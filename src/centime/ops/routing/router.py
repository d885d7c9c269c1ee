"""From a router's logits to the experts of each token and what they count; on a GPU in one launch."""

from __future__ import annotations

import torch
from torch import Tensor

from centime.ops.native import on_gpu
from centime.ops.routing.selection import Selection, route_reference


def route(logits_TE: Tensor, bias_E: Tensor | None, selection: Selection) -> tuple[Tensor, Tensor, Tensor]:
    """`route_reference`: (expert ids int64 [T, K], gates [T, K], scores [T, E]) of float32 logits."""
    if on_gpu(logits_TE) and not torch.is_grad_enabled():
        from centime.ops.gpu.router import route

        return route(logits_TE, bias_E, selection)
    return route_reference(logits_TE, bias_E, selection)
