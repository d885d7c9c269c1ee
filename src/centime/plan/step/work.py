"""What one token asks of the machine in training: FLOPs by kind of kernel, elements moved, sites where kernels start.

Everything is a sum over the whole model (MTP modules included, since they are trained), forward only, per token and on
one chip; `plan.step` scales it to a micro-batch and divides it by the degrees of parallelism. Parameters are elements.
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
from centime.plan.counts.architecture import attention_flops
from centime.plan.counts.matrices import gemms


@dataclass(frozen=True, slots=True)
class LayerWork:
    """Sums over all layers, per token, forward. `*_flops` in FLOPs, `*_elements` in elements read or written."""

    hidden: int
    layers: float  # blocks with a mixer (a layer in the usual sense), MTP's among them
    sites: float  # mixers and feed-forwards: each starts with a norm and ends in a residual sum
    streams: float  # residual streams of `hidden` elements
    residual_elements: float  # a norm and a residual sum's elements at every site; of n streams (3 n + 2) / 5 as many
    softmax_layers: float
    state_layers: float
    mixture_layers: float
    linear_flops: float  # dense and shared matrices
    linear_params: float
    linear_full_elements: (
        float  # matrix inputs and outputs on the residual's side, which tensor parallelism keeps whole
    )
    linear_split_elements: float  # those on the other side, which it splits
    expert_flops: float
    expert_params: float  # all experts of all layers
    expert_elements: float  # inputs and outputs of the visited experts' matrices
    dispatch_elements: float  # what goes to experts, one way
    experts: float  # E, 0 for a dense model
    top_k: float
    routed_nodes: float  # nodes a token may reach under group-limited routing (0: any)
    router_flops: float
    attention_flops: float  # causal, scores and weighted sums
    attention_elements: float  # queries, keys, values and outputs
    latent_elements: float  # what is left of these to keep if up-projections are computed again
    key_elements: float  # keys and values alone, which context parallelism exchanges
    score_elements: float  # entries of the attention matrix, that an unfused kernel writes
    window_elements: float  # entries of whole matrices of layers that attend within a window alone
    state_flops: float
    state_elements: float  # inputs and outputs of the scans and convolutions
    activation_elements: float  # inputs and outputs of the feed-forward's non-linearity
    head_flops: float
    heads_of_vocab: float  # logits of the head and of MTP's uses of it
    table_params: float  # embedding and head
    small_params: float  # norms, routers and the like


def _attention_sizes(mixer: Mixer, seq: int) -> tuple[float, float, float, float]:
    """Per token, elements of queries, keys, values and outputs; of outputs and what the rest follows from; of keys and
    values alone; of the score matrix."""
    if isinstance(mixer, SoftmaxAttention):
        keys = mixer.kv_heads * (mixer.head_dim + mixer.value_head)
        wide = mixer.heads * (mixer.head_dim + mixer.value_head)
        return wide + keys, wide + keys, keys, mixer.heads * float(min(seq, mixer.window or seq))
    if isinstance(mixer, LatentAttention):
        head = mixer.nope_dim + mixer.rope_dim + mixer.value_dim
        latents = mixer.kv_rank + mixer.rope_dim
        kept = mixer.heads * mixer.value_dim + latents + (mixer.q_rank or mixer.heads * (head - mixer.value_dim))
        return 2.0 * mixer.heads * head, kept, latents, mixer.heads * float(seq)
    if isinstance(mixer, CompressedAttention):
        across = float(mixer.heads * mixer.head_dim)
        return 2.0 * across, across + mixer.q_rank + mixer.head_dim, mixer.head_dim, mixer.heads * float(mixer.window)
    return 0.0, 0.0, 0.0, 0.0


def _state_sizes(mixer: StateSpace | ShortConvolution) -> float:
    """Elements that convolution and scan of one layer read and write per token."""
    if isinstance(mixer, ShortConvolution):
        return 2.0 * 3 * mixer.heads
    inner, keys = mixer.heads * mixer.head_dim, mixer.groups * mixer.state_dim
    return 2.0 * (inner + 2 * keys) + 3.0 * inner


def _activation_sizes(part: FeedForwardSpec | ExpertsSpec) -> float:
    fan = 3 if part.gated else 2  # reads gate and up, writes their product
    if isinstance(part, FeedForwardSpec):
        return float(fan * part.width)
    return float(fan * (part.width * part.top_k + part.shared_width))


@lru_cache(maxsize=4096)
def work_of(arch: Architecture, seq: int) -> LayerWork:
    """Gather `arch`'s work per token in causal sequences of `seq` tokens."""
    hidden = arch.hidden
    sums = dict.fromkeys(LayerWork.__slots__[1:], 0.0)
    blocks: list[tuple[float, LayerGroup]] = [(block.repeat, block) for block in arch.blocks]
    if arch.mtp_modules:
        blocks += [(arch.mtp_modules * block.repeat, block) for block in arch.mtp_layers]
    for n, block in blocks:
        for gemm in gemms(block, arch):
            if gemm.kind == "expert":
                sums["expert_flops"] += n * gemm.flops
                sums["expert_params"] += n * gemm.params
                sums["expert_elements"] += n * gemm.times * (gemm.k + gemm.n)
            elif gemm.kind == "router":
                sums["router_flops"] += n * gemm.flops
                sums["small_params"] += n * gemm.params
            else:
                into, out = gemm.k * gemm.times, gemm.n * gemm.times
                whole = into if gemm.k == hidden else 0
                whole += out if gemm.n == hidden else 0
                sums["linear_flops"] += n * gemm.flops
                sums["linear_params"] += n * gemm.params
                sums["linear_full_elements"] += n * whole
                sums["linear_split_elements"] += n * (into + out - whole)
        mixer, part = block.mixer, block.feed_forward
        if mixer is not None:
            sums["layers"] += n
            sums["sites"] += n
            flops = attention_flops(mixer, seq)
            if isinstance(mixer, StateSpace | ShortConvolution):
                sums["state_layers"] += n
                sums["state_flops"] += n * flops
                sums["state_elements"] += n * _state_sizes(mixer)
            else:
                if isinstance(mixer, SoftmaxAttention) and mixer.window is not None and mixer.window < seq:
                    sums["window_elements"] += n * mixer.heads * float(seq)
                sums["softmax_layers"] += n
                sums["attention_flops"] += n * flops
                names = ("attention_elements", "latent_elements", "key_elements", "score_elements")
                for name, size in zip(names, _attention_sizes(mixer, seq), strict=True):
                    sums[name] += n * size
        if part is not None:
            sums["sites"] += n
            sums["activation_elements"] += n * _activation_sizes(part)
            if isinstance(part, ExpertsSpec):
                sums["mixture_layers"] += n
                sums["dispatch_elements"] += n * part.top_k * float(part.latent_dim or hidden)
                sums["experts"] = float(part.experts)
                sums["top_k"] = float(part.top_k)
                sums["routed_nodes"] = float(part.top_groups if part.groups > 1 else 0)
    # One stream is read by the norm, read and written by the sum, and the norm's output written and read: five. n
    # streams are read to be collapsed, read and written to be mixed.
    sums["streams"] = float(arch.streams)
    sums["residual_elements"] = sums["sites"] * hidden * (3.0 * arch.streams + 2.0) / 5.0
    if not sums["layers"]:
        sums["layers"] = sums["sites"] / 2
    modules = float(arch.mtp_modules)
    table = float(arch.vocab * hidden)
    sums["linear_flops"] += modules * 4.0 * hidden * hidden
    sums["linear_params"] += modules * 2.0 * hidden * hidden
    sums["head_flops"] = 2.0 * table * (1 + modules)
    sums["heads_of_vocab"] = float(arch.vocab) * (1 + modules)
    sums["table_params"] = table * (1 if arch.tied else 2) + arch.other_tables
    sums["small_params"] += sums["sites"] * hidden
    return LayerWork(hidden=hidden, **sums)
