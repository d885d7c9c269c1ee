"""A decoder layer with latent attention in three calls of our own kernels: before attention, attention, and after it.

Letters of shapes: S tokens, D the model's width, H heads, N numbers of a head's key that are not rotated, R of the
rotated key, V of its value, L of the latent.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from torch import Tensor

from centime.native.library import Layer, Matrix, RouterRule
from centime.ops.latent.past import Past, native_past
from centime.ops.panels.packing import Panels, library_of_panels


@dataclass(frozen=True)
class RoutingRule:
    """How experts are chosen of their scores (V2 report section 2.2; V3 report, eq. 12 to 16)."""

    weight: Panels  # [E, D]
    bias: Tensor | None  # float32 [E]
    softmax: bool  # else sigmoid
    group_by: int  # how many of a group's best experts say what it is worth; 0: groups count for nothing
    groups: int
    kept_groups: int
    chosen: int  # K
    normalised: bool  # gates of a sum of 1, before the factor
    factor: float

    def native(self) -> RouterRule:
        """As the kernels are told of it; the rule must outlive it."""
        return RouterRule(
            *(self.weight.matrix(), None if self.bias is None else self.bias.data_ptr()),
            *(self.groups, self.kept_groups, self.chosen, self.factor, self.softmax, self.group_by, self.normalised),
        )


@dataclass(frozen=True)
class LayerWeights:
    """What a layer computes with: norms are bf16 vectors, gate_up a stack [E, 2, F, D] and down [E, D, F]."""

    attention_norm: Tensor
    q_down: Panels | None  # None where the query has no latent of its own
    q_norm: Tensor | None
    q_up: Panels
    kv_down: Panels
    kv_norm: Tensor
    uk_HLN: Panels
    uv_HVL: Panels
    out: Panels
    ffn_norm: Tensor
    router: RoutingRule | None  # None: the feed-forward is dense, a stack of one
    gate_up: Panels
    down: Panels
    shared: tuple[Panels, Panels] | None  # gate_up and down of the expert that every token visits


@dataclass(frozen=True)
class LayerShape:
    """What the weights do not say: numbers of heads and of a rotated key, epsilons, the scale of scores."""

    heads: int
    rope: int  # R
    norm_epsilon: float
    latent_epsilon: float
    scale: float
    interleave: bool


class NativeLayer:
    """The layer of these weights and this shape."""

    def __init__(self, weights: LayerWeights, shape: LayerShape) -> None:
        self.weights, self.shape = weights, shape
        self._library = library_of_panels()
        self._values = weights.uv_HVL.outputs
        self._router = weights.router.native() if weights.router else None
        self._layer = self._native()

    def _native(self) -> Layer:
        weights, shape = self.weights, self.shape
        norms = (weights.attention_norm, weights.q_norm, weights.kv_norm, weights.ffn_norm)
        shared = weights.shared or (None, None)
        matrices = (weights.q_down, weights.q_up, weights.kv_down, weights.uk_HLN, weights.uv_HVL, weights.out)
        return Layer(
            *(None if norm is None else norm.data_ptr() for norm in norms),
            *(matrix.matrix() if matrix is not None else Matrix() for matrix in matrices),
            *(
                matrix.matrix() if matrix is not None else Matrix()
                for matrix in (weights.gate_up, weights.down, *shared)
            ),
            ctypes.pointer(self._router) if self._router else None,
            *(shape.heads, weights.uk_HLN.inputs, shape.rope, weights.uk_HLN.outputs, weights.gate_up.shape[0]),
            *(shape.norm_epsilon, shape.latent_epsilon, shape.scale, shape.interleave),
        )

    def project(self, x_SD: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """x bf16, cos and sin float32 [S, R/2] -> queries [S, H, N + R], rotated; entries [S, L + R] of norm(x)."""
        x, cos, sin = x_SD.contiguous(), cos.contiguous(), sin.contiguous()
        weights, heads = self.weights, self.shape.heads
        q = x.new_empty(len(x), heads, weights.q_up.outputs // heads)
        entries = x.new_empty(len(x), weights.kv_down.outputs)
        self._library.layer_project(
            *(self._layer, x.data_ptr(), len(x), cos.data_ptr(), sin.data_ptr(), q.data_ptr(), entries.data_ptr())
        )
        return q, entries

    def attend(self, q_SHW: Tensor, past: Past) -> Tensor:
        """Single tokens' queries [S, H, N + R], each over entries of its own -> [S, H * V]."""
        q = q_SHW.contiguous()
        heads = q.new_empty(len(q), q.shape[1] * self._values)
        self._library.layer_attend(self._layer, q.data_ptr(), len(q), native_past(past), heads.data_ptr())
        return heads

    def finish(self, x_SD: Tensor, heads_SC: Tensor) -> Tensor:
        """h = x + out(heads), then h + feed_forward(norm(h)) -> [S, D]; heads [S, H * V]."""
        x, heads = x_SD.contiguous(), heads_SC.contiguous()
        y = x.new_empty(x.shape)
        self._library.layer_finish(self._layer, x.data_ptr(), heads.data_ptr(), len(x), y.data_ptr())
        return y
