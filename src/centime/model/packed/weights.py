"""A model's matrices packed for serving on a processor: the same model, but without gradients."""

from __future__ import annotations

import torch
from torch import nn

from centime.model.attention import GroupedQueryAttention, MultiHeadLatentAttention
from centime.model.decoder import DecoderLayer, MultiTokenPrediction, Transformer
from centime.model.experts import Experts, FeedForward
from centime.model.linear import Linear
from centime.model.packed.layer import PackedDecoderLayer
from centime.ops.linear import pack, packs
from centime.ops.panels import Panels, can_panel, panels, use_torch_threads
from centime.ops.quantised import Quantised


@torch.no_grad()
def pack_weights(model: Transformer) -> Transformer:
    """Puts the weights in the form `ops.linear.pack` describes, in place, where that gains something.

    A layer whose matrices are all in panels computes by our own kernels, which share their work among as many threads
    as torch. Plain weights are given up as it goes, so that memory holds the model once, but for W_UK and W_UV, of
    which there are copies by heads, and routers. Left as they are: without kernels these two, which absorbed attention
    takes apart by heads, and routers; an embedding, of which a tied head becomes a packed copy.
    """
    if not packs(model.head_weight) or model.dtype != torch.bfloat16:
        return model
    use_torch_threads()
    if model.head is None:
        model.head = Linear(0, 0)
        model.head.weight = nn.Parameter(model.embed.weight.detach(), requires_grad=False)
    latent = [module for module in model.modules() if isinstance(module, MultiHeadLatentAttention)]
    for attention in latent:
        attention.by_heads = attention.kv_up_by_heads(model.dtype).packed(isinstance(attention.kv_up.weight, Quantised))
    kept = {attention.kv_up for attention in latent if attention.by_heads is None}
    for module in model.modules():
        if isinstance(module, Linear) and module not in kept:
            module.weight = _packed(module.weight)
        elif isinstance(module, FeedForward):
            if can_panel(module.gate_up) and can_panel(module.down):
                module.gate_up, module.down = panels(module.gate_up[None], gated=True), panels(module.down[None])
            else:
                module.gate_up, module.down = _packed(module.gate_up), _packed(module.down)
        elif isinstance(module, Experts):
            _pack_experts(module)
    replace_layers(model)
    return model


def is_in_panels(model: Transformer) -> bool:
    """Whether our kernels multiply in all layers and the head, so that no row's result depends on the rows beside it.

    What stands between the products of plain attention treats every number, or every row, by itself.
    """
    layers = [*model.layers, *(module.block for module in model.mtp)]
    rest = [model.head_weight, *(module.get_parameter("project.weight") for module in model.mtp)]
    packed = all(isinstance(layer, PackedDecoderLayer) or _is_plain_in_panels(layer) for layer in layers)
    return packed and all(isinstance(matrix, Panels) for matrix in rest)


def _is_plain_in_panels(layer: nn.Module) -> bool:
    """Whether a layer is one of plain attention and a dense feed-forward, with all its matrices in panels."""
    if not isinstance(layer, DecoderLayer) or not isinstance(layer.attention, GroupedQueryAttention):
        return False
    matrices = [weight for weight in layer.parameters() if weight.dim() > 1 or isinstance(weight, Panels)]
    return isinstance(layer.ffn, FeedForward) and all(isinstance(matrix, Panels) for matrix in matrices)


def replace_layers(model: Transformer) -> None:
    """Lets layers whose matrices are all in panels compute by our own kernels, in place."""
    for i, layer in enumerate(model.layers):
        assert isinstance(layer, DecoderLayer)
        model.layers[i] = PackedDecoderLayer.of(layer) or layer
    for module in model.mtp:
        assert isinstance(module, MultiTokenPrediction)
        assert isinstance(module.block, DecoderLayer)
        module.block = PackedDecoderLayer.of(module.block) or module.block


def _pack_experts(module: Experts) -> None:
    """In panels a stack remains one parameter; as oneDNN has them, every matrix is one of its own."""
    if can_panel(module.gate_up) and can_panel(module.down):
        module.gate_up, module.down = panels(module.gate_up, gated=True), panels(module.down)
        return
    if isinstance(module.gate_up, Quantised):
        return
    for name in ("gate_up", "down"):
        stack = module._parameters.pop(name)
        assert stack is not None
        setattr(module, name, nn.ParameterList(_packed(matrix) for matrix in stack))


def _packed(weight: torch.Tensor) -> nn.Parameter:
    if isinstance(weight, Quantised) and not can_panel(weight):
        return weight
    packed = pack(weight)
    return packed if isinstance(packed, nn.Parameter) else nn.Parameter(packed, requires_grad=False)
