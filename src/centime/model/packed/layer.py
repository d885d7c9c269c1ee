"""A decoder layer that computes by our own kernels, three calls a step, where all its matrices are in panels.

Letters of shapes: B sequences, S tokens of each, T entries, D the model's width, H heads, N numbers of a head's key
that are not rotated, R of the rotated key, V of its value, L of the latent.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from centime.model.attention import LATENT_NORM_EPS, MultiHeadLatentAttention, RopeTable
from centime.model.cache import LayerCache, Queries
from centime.model.decoder import DecoderLayer
from centime.model.experts import FeedForward
from centime.model.router import Router
from centime.ops.latent.past import Past
from centime.ops.panels import Panels, can_panel, panels
from centime.ops.panels.layer import LayerShape, LayerWeights, NativeLayer, RoutingRule


class PackedDecoderLayer(nn.Module):
    """The layer's own modules under their own names, and what they compute in three calls. Has no gradients."""

    def __init__(self, layer: DecoderLayer, native: NativeLayer) -> None:
        super().__init__()
        assert isinstance(layer.attention, MultiHeadLatentAttention)
        self.attention_norm, self.attention = layer.attention_norm, layer.attention
        self.ffn_norm, self.ffn = layer.ffn_norm, layer.ffn
        self.native = native

    @classmethod
    def of(cls, layer: DecoderLayer) -> Self | None:
        """None where some matrix is not in panels."""
        try:
            weights = _weights(layer)
        except _NotInPanels:
            return None
        attention, norm = layer.attention, layer.attention_norm
        assert isinstance(attention, MultiHeadLatentAttention)
        shape = LayerShape(
            *(attention.heads, attention.rope_dim, norm.eps, LATENT_NORM_EPS, attention.scale, attention.interleave)
        )
        return cls(layer, NativeLayer(weights, shape))

    def forward(self, x_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None) -> tuple[Tensor, None]:
        """The layer's output [B, S, D]; how tokens were routed is not told."""
        B, S, _ = x_BSD.shape
        cos, sin = (part if B == 1 else part.repeat(B, 1) for part in rope)
        q, entries = self.native.project(x_BSD.flatten(0, 1), cos, sin)
        queries, entry = (q.view(B, S, *q.shape[1:]),), entries.view(B, S, -1)
        heads = self.over(queries, entry) if cache is None else cache(self, queries, entry)
        return self.native.finish(x_BSD.flatten(0, 1), heads.flatten(0, 1)).view_as(x_BSD), None

    def over(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Attention of S queries [B, S, H, N + R] over T entries, the last S of them their own -> [B, S, H * V]."""
        attention: MultiHeadLatentAttention = self.attention
        return attention.over(queries[0].split([attention.nope, attention.rope_dim], dim=-1), stored_BTW)

    def decode(self, queries: Queries, past: Past) -> Tensor:
        """N single tokens [1, N, H, N + R], each over entries of its own -> [1, N, H * V]."""
        return self.native.attend(queries[0][0], past)[None]


class _NotInPanels(Exception):
    """A matrix of the layer is of another form."""


def _in_panels(weight: Tensor) -> Panels:
    if not isinstance(weight, Panels):
        raise _NotInPanels
    return weight


def _weights(layer: DecoderLayer) -> LayerWeights:
    """Raises _NotInPanels."""
    attention, ffn = layer.attention, layer.ffn
    if not isinstance(attention, MultiHeadLatentAttention) or attention.by_heads is None:
        raise _NotInPanels
    router: RoutingRule | None = None
    shared: tuple[Panels, Panels] | None = None
    if isinstance(ffn, FeedForward):
        matrices = ffn.gate_up, ffn.down
    else:
        matrices, router = (ffn.experts.gate_up, ffn.experts.down), routing_rule(ffn.router)
        if ffn.shared is not None:
            shared = _in_panels(ffn.shared.gate_up), _in_panels(ffn.shared.down)
    low_rank = attention.low_rank_query
    norms = [layer.attention_norm, layer.ffn_norm, attention.kv_norm, *([attention.q_norm] if low_rank else [])]
    if any(norm.weight.dtype != torch.bfloat16 for norm in norms) or (attention.latent_dim + attention.rope_dim) % 2:
        raise _NotInPanels  # attention over pages reads entries in pairs
    return LayerWeights(
        attention_norm=layer.attention_norm.weight,
        q_down=_in_panels(attention.q_down.weight) if low_rank else None,
        q_norm=attention.q_norm.weight if low_rank else None,
        q_up=_in_panels((attention.q_up if low_rank else attention.q).weight),
        kv_down=_in_panels(attention.kv_down.weight),
        kv_norm=attention.kv_norm.weight,
        uk_HLN=_in_panels(attention.by_heads.uk_HNL),
        uv_HVL=_in_panels(attention.by_heads.uv_HVL),
        out=_in_panels(attention.out.weight),
        ffn_norm=layer.ffn_norm.weight,
        router=router,
        gate_up=_in_panels(matrices[0]),
        down=_in_panels(matrices[1]),
        shared=shared,
    )


def routing_rule(router: Router) -> RoutingRule:
    """How a router chooses, with a copy of its matrix in panels and its bias where it stands. Raises _NotInPanels."""
    config = router.config
    if not can_panel(router.weight):
        raise _NotInPanels
    return RoutingRule(
        weight=panels(router.weight),
        bias=router.e_score_correction_bias if config.topk_method == "noaux_tc" else None,
        softmax=config.scoring_func == "softmax",
        group_by=0 if config.topk_method == "greedy" else 2 if config.topk_method == "noaux_tc" else 1,
        groups=config.n_group or 1,
        kept_groups=config.topk_group or 1,
        chosen=config.num_experts_per_tok,
        normalised=config.norm_topk_prob and config.num_experts_per_tok > 1,
        factor=config.routed_scaling_factor,
    )
