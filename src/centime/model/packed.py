"""A model's matrices packed for serving on a processor: the same model, but without gradients."""

from __future__ import annotations

import torch
from torch import nn

from centime.model.attention import MultiHeadLatentAttention
from centime.model.decoder import Transformer
from centime.model.experts import Experts, FeedForward
from centime.model.linear import Linear
from centime.ops.linear import pack, packs


@torch.no_grad()
def pack_weights(model: Transformer) -> Transformer:
    """Puts the weights in the form `ops.linear.pack` describes, in place, where that gains something.

    Plain ones are given up as it goes, so that memory holds the model once. Left as they are: W_UK and W_UV, which
    absorbed attention takes apart by heads; routers, which compute in float32; an embedding, of which a tied head
    becomes a packed copy.
    """
    if not packs(model.head_weight):
        return model
    if model.head is None:
        model.head = Linear(0, 0)
        model.head.weight = _packed(model.embed.weight)
    by_heads = {id(module.kv_up) for module in model.modules() if isinstance(module, MultiHeadLatentAttention)}
    for module in model.modules():
        if isinstance(module, Linear) and id(module) not in by_heads and not module.weight.is_mkldnn:
            module.weight = _packed(module.weight)
        elif isinstance(module, FeedForward):
            module.gate_up, module.down = _packed(module.gate_up), _packed(module.down)
        elif isinstance(module, Experts):
            for name in ("gate_up", "down"):
                stack = module._parameters.pop(name)
                assert stack is not None
                setattr(module, name, nn.ParameterList(_packed(matrix) for matrix in stack))
    return model


def _packed(weight: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(pack(weight), requires_grad=False)
