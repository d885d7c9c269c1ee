"""What one layer of a model costs a server: bytes of weights and cache to read, FLOPs to do, per token and per key.

Decode of MLA is counted in its absorbed form (V2 report, section 2.1.2): the up-projections of keys and values are
folded into the query and the output, so that a query meets the latent itself, 2 H (2 L + R) FLOPs and L + R elements a
key; prefill in the expanded form, 2 H (nope + R + value) FLOPs a key.
"""

from __future__ import annotations

import math
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

ALIKE = 1e4  # popularity beyond which experts are as good as alike, and the Gamma functions of their formula cancel


def visited(experts: int, top_k: int, tokens: float, popularity: float = math.inf) -> float:
    """Distinct experts that `tokens` tokens pick when each picks `top_k` of `experts`.

    Were all experts alike, E (1 - (1 - K/E)^T). Some are picked more than others: their chances follow a Beta(a, b)
    distribution of mean K/E and a = `popularity`, so that an expert is missed by all with
    E[(1 - p)^T] = Gamma(a + b) Gamma(b + T) / (Gamma(b) Gamma(a + b + T)).
    """
    if not experts:
        return 0.0
    if tokens < 1 or top_k >= experts:
        return top_k * min(1.0, tokens)
    if popularity > ALIKE:
        return experts * (1.0 - math.pow(1.0 - top_k / experts, tokens))
    a, b = popularity, popularity * (experts / top_k - 1)
    missed = math.lgamma(a + b) - math.lgamma(b) + math.lgamma(b + tokens) - math.lgamma(a + b + tokens)
    return experts * (1.0 - math.exp(min(0.0, missed)))


def busiest(ranks: int, experts: int, spread: float) -> float:
    """The load of the busiest of `ranks` over the mean, whose experts' loads have the standard deviation `spread`.

    A rank holds E / n experts, so that its own deviates by spread sqrt(n / E), and the largest of n such is some
    sqrt(2 ln n) deviations above their mean.
    """
    return 1.0 + spread * math.sqrt(ranks / experts * 2.0 * math.log(ranks)) if experts else 1.0


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
    balanced: bool = False  # whether a bias keeps its experts equally busy

    @property
    def key_flops(self) -> float:
        """FLOPs of one token of a prompt against one key, of attention that meets all of them."""
        if isinstance(self.mixer, SoftmaxAttention):
            return 2.0 * self.mixer.heads * (self.mixer.head_dim + self.mixer.value_head)
        if isinstance(self.mixer, LatentAttention):
            return 2.0 * self.mixer.heads * (self.mixer.nope_dim + self.mixer.rope_dim + self.mixer.value_dim)
        return 0.0

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
        routed = block.feed_forward if isinstance(block.feed_forward, ExpertsSpec) else None
        mixer_only = gemms(type(block)(block.mixer, None, 1), arch)
        mixer_params = sum(g.params for g in mixer_only)
        experts = routed.experts if routed else 0
        expert_params = sum(g.params for g in found if g.kind == "expert") / experts if experts else 0.0
        dense = sum(g.params for g in found if g.kind != "expert") - mixer_params
        layers.append(
            LayerCost(
                repeat=block.repeat,
                mixer=block.mixer,
                mixer_params=mixer_params,
                dense_params=dense,
                expert_params=expert_params,
                experts=experts,
                top_k=routed.top_k if routed else 0,
                kv_heads=_kv_heads(block.mixer),
                balanced=routed.correction_bias if routed else False,
            )
        )
    head = arch.hidden * arch.vocab
    last = layers[-1]
    module = last.mixer_params + last.dense_params + last.experts * last.expert_params + 2 * arch.hidden**2
    tables = (0 if arch.tied else head) + arch.other_tables
    return ModelCost(tuple(layers), arch.hidden, head, tables, module if arch.mtp_modules else 0.0)
