"""Exact parameter, FLOP and KV-cache counts of any architecture of the catalogue.

Conventions are those of `centime.plan.counts.config`: FLOPs of matrix products, 2 per parameter and token forward and 4
backward; causal attention once, a query of a sequence of S meeting S/2 keys on average; embedding look-ups, norms and
softmax free; MTP apart; no recomputation. Beyond them:
- a window of W keys: W - W (W - 1) / 2S of them on average (the exact mean of min(position, W));
- an indexer scores every earlier key (or compressed entry) and attention then meets the `index_topk` it keeps;
- a state-space layer's scan: 7 FLOPs per element of its state and token (Mamba-2), 8 with the delta rule, as
  Megatron-Bridge counts them (flop_utils.py, mamba_layer_flops and gdn_layer_flops).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from centime.catalogue.architecture import (
    Architecture,
    CompressedAttention,
    ExpertsSpec,
    FeedForwardSpec,
    LatentAttention,
    LayerGroup,
    Mixer,
    ShortConvolution,
    SoftmaxAttention,
    StateSpace,
)
from centime.plan.counts.matrices import gemms


@dataclass(frozen=True)
class ArchitectureCounts:
    """What `count_architecture` finds: parameters in elements, FLOPs per token in sequences of `seq`."""

    total_params: int
    active_params: int
    active_params_without_embedding: int
    matmul_params: int  # what a token multiplies with, the head included
    expert_params: int  # of all routed experts
    mtp_params: int
    mtp_active_params: int
    forward_flops_per_token: float
    attention_forward_flops_per_token: float  # scores, weighted sums, indexers and scans
    mtp_forward_flops_per_token: float
    full_attention_forward_flops_per_token: float  # attention counted over all S keys, causality ignored
    kv_elements_per_token: float  # what one more token adds once windows are full

    def said(self) -> dict[str, int]:
        """The parameters that a plan names: in all, for a token, and those without the tables it is looked up in."""
        return {
            "total": self.total_params,
            "active": self.active_params,
            "active_without_embedding": self.active_params_without_embedding,
        }

    @property
    def train_flops_per_token(self) -> float:
        """Forward and backward, MTP left out."""
        return 3 * self.forward_flops_per_token

    @property
    def train_flops_per_token_with_mtp(self) -> float:
        """Forward and backward of the main model and its MTP modules."""
        return 3 * (self.forward_flops_per_token + self.mtp_forward_flops_per_token)

    @property
    def train_flops_per_token_full_attention(self) -> float:
        """The same with attention counted over all keys, as sources that ignore causality do (MPT, Megatron 2021)."""
        causal = self.attention_forward_flops_per_token
        return 3 * (self.forward_flops_per_token - causal + self.full_attention_forward_flops_per_token)


def mean_keys(seq: float, window: int | None) -> float:
    """Keys that a query meets on average over a causal sequence of `seq` tokens, with or without a window."""
    if window is None or window >= seq:
        return seq / 2
    return window - window * (window - 1) / (2 * seq)


def flops_per_key(mixer: Mixer) -> float:
    """Forward FLOPs of one query meeting one key: scores and weighted sum, every head (expanded form)."""
    if isinstance(mixer, SoftmaxAttention):
        return 2.0 * mixer.heads * (mixer.head_dim + mixer.value_head)
    if isinstance(mixer, LatentAttention):
        return 2.0 * mixer.heads * (mixer.nope_dim + mixer.rope_dim + mixer.value_dim)
    if isinstance(mixer, CompressedAttention):
        return 4.0 * mixer.heads * mixer.head_dim
    return 0.0


def attention_flops(mixer: Mixer | None, seq: float, full: bool = False) -> float:
    """Forward FLOPs per token of a mixer beside its matrices, on average over a causal sequence of `seq` tokens.

    full: count every query against all `seq` keys (or its whole window), as some sources do, and as one new token does
    that follows `seq` others (decode, expanded form).
    """
    share = 1.0 if full else 0.5
    if mixer is None:
        return 0.0
    if isinstance(mixer, StateSpace):
        return float(8 if mixer.delta else 7) * mixer.heads * mixer.head_dim * mixer.state_dim
    if isinstance(mixer, ShortConvolution):
        return 2.0 * mixer.heads * mixer.width
    if isinstance(mixer, SoftmaxAttention):
        keys = mean_keys(seq, mixer.window) if not full else min(seq, mixer.window or seq)
        return flops_per_key(mixer) * keys
    if isinstance(mixer, LatentAttention):
        if mixer.index_topk is None:
            return flops_per_key(mixer) * seq * share
        scoring = 2.0 * mixer.index_heads * mixer.index_dim * seq * share
        keys = mean_keys(seq, mixer.index_topk) if not full else min(seq, mixer.index_topk)
        return flops_per_key(mixer) * keys + scoring
    keys = mean_keys(seq, mixer.window) if not full else min(seq, mixer.window)
    scoring = 0.0
    if mixer.compression:
        entries = seq / mixer.compression
        kept = min(entries, mixer.index_topk) if mixer.index_topk is not None else entries
        keys += kept if full else mean_keys(entries, int(kept))
        if mixer.index_topk is not None:
            scoring = 2.0 * mixer.index_heads * mixer.index_dim * entries * share
    return flops_per_key(mixer) * keys + scoring


def kv_elements(mixer: Mixer | None, context: float) -> float:
    """Cache elements that one layer holds for a sequence of `context` tokens."""
    if mixer is None:
        return 0.0
    if isinstance(mixer, SoftmaxAttention):
        if mixer.shared_cache:
            return 0.0
        kept = min(context, mixer.window or context)
        return kept * mixer.kv_heads * (mixer.head_dim + mixer.value_head)
    if isinstance(mixer, LatentAttention):
        index = mixer.index_dim if mixer.index_topk is not None else 0
        return context * (mixer.kv_rank + mixer.rope_dim + index)
    if isinstance(mixer, CompressedAttention):
        index = mixer.index_dim if mixer.index_topk is not None else 0
        entries = context / mixer.compression if mixer.compression else 0.0
        return min(context, mixer.window) * mixer.head_dim + entries * (mixer.head_dim + index)
    if isinstance(mixer, ShortConvolution):
        return float(mixer.heads * mixer.width)
    inner = mixer.heads * mixer.head_dim
    return inner * mixer.state_dim + mixer.conv_width * (inner + 2 * mixer.groups * mixer.state_dim)


def _kv_growth(mixer: Mixer | None) -> float:
    """Cache elements that one more token adds to a layer, once its windows are full."""
    if isinstance(mixer, SoftmaxAttention) and mixer.window is not None:
        return 0.0
    far = 1e9  # longer than any window
    if isinstance(mixer, StateSpace | ShortConvolution):
        return 0.0
    return kv_elements(mixer, far + 1) - kv_elements(mixer, far)


def vectors(block: LayerGroup, arch: Architecture) -> int:
    """Elements of one layer outside its matrices: norms, biases, convolutions, gates."""
    each = 2 if arch.norm_bias else 1
    found = arch.hidden * each * sum(part is not None for part in (block.mixer, block.feed_forward))
    mixer, part = block.mixer, block.feed_forward
    found += arch.hidden if arch.layer_inputs and mixer is not None else 0
    if isinstance(mixer, LatentAttention):
        found += mixer.kv_rank + (mixer.q_rank or 0) + (2 * mixer.index_dim if mixer.index_topk is not None else 0)
    elif isinstance(mixer, CompressedAttention):
        found += mixer.q_rank + mixer.head_dim + mixer.heads
    elif isinstance(mixer, StateSpace):
        inner, keys = mixer.heads * mixer.head_dim, mixer.groups * mixer.state_dim
        if mixer.rank is not None:  # Mamba-1 keeps a decay for every element of the state
            found += (mixer.conv_width + 3 + mixer.state_dim) * inner
        else:
            found += (mixer.conv_width + 1) * (inner + 2 * keys) + 3 * mixer.heads + inner
    elif isinstance(mixer, ShortConvolution):
        found += mixer.heads * mixer.width
    if isinstance(mixer, SoftmaxAttention):
        if mixer.bias or arch.norm_bias:
            found += mixer.heads * mixer.head_dim + mixer.kv_heads * (mixer.head_dim + mixer.value_head)
        found += arch.hidden if mixer.out_bias or arch.norm_bias else 0
        found += 2 * mixer.head_dim if mixer.head_norms else 0
    if isinstance(part, FeedForwardSpec) and (part.bias or arch.norm_bias):
        found += (2 if part.gated else 1) * part.width + arch.hidden
    if isinstance(part, ExpertsSpec):
        found += part.experts if part.correction_bias else 0
        found += part.experts * ((2 if part.gated else 1) * part.width + arch.hidden + 1) if part.bias else 0
    return found


@dataclass(frozen=True)
class _Layer:
    """One layer: parameters held, active, in products, of experts; forward FLOPs of the products."""

    total: int
    active: int
    matmul: int
    expert: int


def _layer(block: LayerGroup, arch: Architecture) -> _Layer:
    found = gemms(block, arch)
    matmul = sum(g.k * g.n * g.times for g in found)
    held = sum(g.params for g in found)
    expert = sum(g.params for g in found if g.kind == "expert")
    small = vectors(block, arch)
    return _Layer(held + small, matmul + small - idle_biases(block, arch), matmul, expert)


def idle_biases(block: LayerGroup, arch: Architecture) -> int:
    """Elements of biases of the experts that a token does not visit."""
    part = block.feed_forward
    if not isinstance(part, ExpertsSpec) or not part.bias:
        return 0
    return (part.experts - part.top_k) * ((2 if part.gated else 1) * part.width + arch.hidden)


@lru_cache(maxsize=1024)
def count_architecture(arch: Architecture, seq: int = 4096) -> ArchitectureCounts:
    """Count `arch`'s parameters, FLOPs per token in sequences of `seq` tokens, and cache elements.

    "total" and "active" leave MTP modules out, as the published 671 B and 37 B do.
    """
    layers = [(block.repeat, block, _layer(block, arch)) for block in arch.blocks]
    mtp = [(block.repeat, block, _layer(block, arch)) for block in arch.mtp_layers] if arch.mtp_modules else []
    table = arch.vocab * arch.hidden
    final_norm = arch.hidden * (2 if arch.norm_bias else 1)
    inputs = (0 if arch.tied else table) + arch.other_tables
    streams = 2 * (arch.alternating - 1) * arch.hidden**2  # the other streams made at the start, joined at the end
    outside = inputs + table + final_norm + streams
    attention = sum(n * attention_flops(block.mixer, seq) for n, block, _ in layers)
    matmul = sum(n * layer.matmul for n, _, layer in layers) + table + streams
    module_small = 3 * arch.hidden + 2 * arch.hidden**2
    module_matmul = sum(n * layer.matmul for n, _, layer in mtp) + 2 * arch.hidden**2 + table
    mtp_attention = sum(n * attention_flops(block.mixer, seq) for n, block, _ in mtp)
    active = sum(n * layer.active for n, _, layer in layers) + outside
    return ArchitectureCounts(
        total_params=sum(n * layer.total for n, _, layer in layers) + outside,
        active_params=active,
        active_params_without_embedding=active - inputs,
        matmul_params=matmul,
        expert_params=sum(n * layer.expert for n, _, layer in layers),
        mtp_params=arch.mtp_modules * (sum(n * layer.total for n, _, layer in mtp) + module_small),
        mtp_active_params=arch.mtp_modules * (sum(n * layer.active for n, _, layer in mtp) + module_small),
        forward_flops_per_token=2 * matmul + attention,
        attention_forward_flops_per_token=attention,
        mtp_forward_flops_per_token=arch.mtp_modules * (2 * module_matmul + mtp_attention) if mtp else 0.0,
        full_attention_forward_flops_per_token=sum(
            n * attention_flops(block.mixer, seq, full=True) for n, block, _ in layers
        ),
        kv_elements_per_token=sum(n * _kv_growth(block.mixer) for n, block, _ in layers),
    )
