"""A model's matrices packed for serving on a processor: the same model, but without gradients."""

from __future__ import annotations

import torch
from torch import nn

from centime.model.attention import MultiHeadLatentAttention
from centime.model.decoder import Transformer
from centime.model.experts import Experts, FeedForward
from centime.model.linear import Linear
from centime.model.router import Router
from centime.ops.linear import pack, packs
from centime.ops.panels import Panels, can_panel, gated_panels, panels, use_torch_threads
from centime.ops.quantised import Quantised


@torch.no_grad()
def pack_weights(model: Transformer) -> Transformer:
    """Puts the weights in the form `ops.linear.pack` describes, in place, where that gains something.

    Our kernels then share their work among as many threads as torch.
    Plain ones are given up as it goes, so that memory holds the model once, but for W_UK and W_UV: in panels there are
    copies by heads of them, and of routers. Left as they are: without kernels these two, which absorbed attention takes
    apart by heads, and routers, which compute in float32; an embedding, of which a tied head becomes a packed copy.
    """
    if not packs(model.head_weight):
        return model
    use_torch_threads()
    if model.head is None:
        model.head = Linear(0, 0)
        model.head.weight = nn.Parameter(model.embed.weight.detach(), requires_grad=False)
    model.head.weight = head = _packed(model.head.weight)
    by_heads = {id(module.kv_up) for module in model.modules() if isinstance(module, MultiHeadLatentAttention)}
    for module in model.modules():
        if isinstance(module, MultiHeadLatentAttention):
            module.by_heads = module.kv_up_by_heads(model.dtype).packed()
            if module.by_heads:
                module.kv_up.weight = _packed(module.kv_up.weight)
        elif isinstance(module, Linear) and id(module) not in by_heads and module.weight is not head:
            module.weight = _packed(module.weight)
        elif isinstance(module, FeedForward):
            if can_panel(module.gate_up) and can_panel(module.down):
                module.gate_up, module.down = gated_panels(module.gate_up[None]), panels(module.down[None])
            else:
                module.gate_up, module.down = _packed(module.gate_up), _packed(module.down)
        elif isinstance(module, Experts):
            _pack_experts(module)
        elif isinstance(module, Router) and can_panel(module.weight):
            module.panels = panels(module.weight)
    for module in model.modules():
        if isinstance(module, MultiHeadLatentAttention):
            module.pack()
    return model


def is_in_panels(model: Transformer) -> bool:
    """Whether every matrix is in panels, so that no product of a row depends on the rows beside it."""
    for module in model.modules():
        if isinstance(module, (FeedForward, Experts)) and not isinstance(module.gate_up, Panels):
            return False
        if isinstance(module, Linear) and not isinstance(module.weight, Panels):
            return False
        if isinstance(module, Router) and module.panels is None:
            return False
    return isinstance(model.head_weight, Panels)


def _pack_experts(module: Experts) -> None:
    """In panels a stack remains one parameter; as oneDNN has them, every matrix is one of its own."""
    if isinstance(module.gate_up, Quantised):
        return
    if can_panel(module.gate_up) and can_panel(module.down):
        module.gate_up, module.down = gated_panels(module.gate_up), panels(module.down)
        return
    for name in ("gate_up", "down"):
        stack = module._parameters.pop(name)
        assert stack is not None
        setattr(module, name, nn.ParameterList(_packed(matrix) for matrix in stack))


def _packed(weight: torch.Tensor) -> nn.Parameter:
    if isinstance(weight, Quantised):
        return weight
    packed = pack(weight)
    return packed if isinstance(packed, nn.Parameter) else nn.Parameter(packed, requires_grad=False)
