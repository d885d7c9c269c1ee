"""What one layer of a model costs a server: bytes of weights and cache to read, FLOPs to do, per token and per key.

Decode of MLA is counted in its absorbed form (V2 report, section 2.1.2): the up-projections of keys and values are
folded into the query and the output, so that a query meets the latent itself, 2 H (2 L + R) FLOPs and L + R elements a
key; prefill in the expanded form, 2 H (nope + R + value) FLOPs a key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from centime.catalogue.architecture import (
    Architecture,
    ExpertsSpec,
    LatentAttention,
    Mixer,
    ShortConvolution,
    SoftmaxAttention,
    StateSpace,
)
from centime.plan.counts.architecture import attention_flops, kv_elements
from centime.plan.counts.matrices import gemms


@dataclass(frozen=True)
class LayerCost:
    """`repeat` layers alike, in elements and FLOPs; experts are 0 where the layer has none."""

    repeat: int
    mixer: Mixer | None
    mixer_params: float  # matrices of the token mixer
    dense_params: float  # feed-forward, shared experts and router: what every token meets
    expert_params: float  # of one routed expert
    experts: int  # E
    top_k: int  # K
    kv_heads: int  # over how many tensor-parallel ranks the cache can be split: 1 for a latent

    def kv_elements(self, context: float) -> float:
        """Cache elements of one sequence of `context` tokens."""
        return kv_elements(self.mixer, context)

    def decode_flops(self, context: float) -> float:
        """FLOPs of one new token against `context` cached ones, beside the matrices; MLA absorbed."""
        if isinstance(self.mixer, LatentAttention):
            mixer = self.mixer
            keys = min(context, mixer.index_topk or context)
            scoring = 2.0 * mixer.index_heads * mixer.index_dim * context if mixer.index_topk else 0.0
            return 2.0 * mixer.heads * (2 * mixer.kv_rank + mixer.rope_dim) * keys + scoring
        return attention_flops(self.mixer, context, full=True)

    def decode_elements(self, context: float) -> float:
        """Cache elements that one new token reads: all it meets; with sparse attention what it keeps, and its index."""
        if isinstance(self.mixer, LatentAttention) and self.mixer.index_topk is not None:
            mixer = self.mixer
            return (
                min(context, mixer.index_topk or context) * (mixer.kv_rank + mixer.rope_dim) + context * mixer.index_dim
            )
        if isinstance(self.mixer, SoftmaxAttention) and self.mixer.shared_cache:  # it reads another layer's
            return kv_elements(replace(self.mixer, shared_cache=False), context)
        return self.kv_elements(context)

    def prefill_flops(self, tokens: float, cached: float) -> float:
        """FLOPs per token, beside the matrices, of a prompt of `tokens` new tokens that follow `cached` ones."""
        if cached <= 0:
            return attention_flops(self.mixer, tokens)
        whole = attention_flops(self.mixer, cached + tokens) * (cached + tokens)
        return (whole - attention_flops(self.mixer, cached) * cached) / tokens


@dataclass(frozen=True)
class ModelCost:
    """A model as a server sees it."""

    layers: tuple[LayerCost, ...]
    hidden: int  # D
    head_params: float
    table_params: float  # the embedding, when it is not the head's own matrix, and what else is looked up
    mtp_params: float  # of one MTP module, its head shared

    @property
    def depth(self) -> int:
        """Layers."""
        return sum(layer.repeat for layer in self.layers)

    @property
    def expert_params(self) -> float:
        """Of all routed experts."""
        return sum(layer.repeat * layer.experts * layer.expert_params for layer in self.layers)

    @property
    def other_params(self) -> float:
        """Of everything else, embedding and head included."""
        inside = sum(layer.repeat * (layer.mixer_params + layer.dense_params) for layer in self.layers)
        return inside + self.head_params + self.table_params

    @property
    def is_mixture(self) -> bool:
        """Whether any layer routes."""
        return any(layer.experts for layer in self.layers)

    def kv_elements(self, context: float) -> float:
        """Cache elements of one sequence, all layers."""
        return sum(layer.repeat * layer.kv_elements(context) for layer in self.layers)


def _kv_heads(mixer: Mixer | None) -> int:
    if isinstance(mixer, SoftmaxAttention):
        return mixer.kv_heads
    if isinstance(mixer, StateSpace | ShortConvolution):
        return mixer.heads
    return 1


@lru_cache(maxsize=256)
def model_cost(arch: Architecture) -> ModelCost:
    """The costs of `arch`, layer kind by layer kind, from its matrices."""
    layers = []
    for block in arch.blocks:
        found = gemms(block, arch)
        part = block.feed_forward
        mixer_only = gemms(type(block)(block.mixer, None, 1), arch)
        mixer_params = sum(g.params for g in mixer_only)
        experts = part.experts if isinstance(part, ExpertsSpec) else 0
        expert_params = sum(g.params for g in found if g.kind == "expert") / experts if experts else 0.0
        dense = sum(g.params for g in found if g.kind != "expert") - mixer_params
        top_k = part.top_k if isinstance(part, ExpertsSpec) else 0
        layers.append(
            LayerCost(
                block.repeat, block.mixer, mixer_params, dense, expert_params, experts, top_k, _kv_heads(block.mixer)
            )
        )
    head = arch.hidden * arch.vocab
    last = layers[-1]
    module = last.mixer_params + last.dense_params + last.experts * last.expert_params + 2 * arch.hidden**2
    tables = (0 if arch.tied else head) + arch.other_tables
    return ModelCost(tuple(layers), arch.hidden, head, tables, module if arch.mtp_modules else 0.0)
