"""The matrix products behind an architecture: every weight matrix of a layer as a token meets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
)

GemmKind = Literal["dense", "expert", "shared", "router"]


@dataclass(frozen=True)
class Gemm:
    """One weight matrix of a layer as a token meets it: [tokens, k] x [k, n], `times` times a token.

    kind: 'expert' matrices are one expert's (times = K, the experts a token visits); 'dense', 'shared' and
    'router' are met by every token. held: how many such matrices the layer holds.
    """

    name: str
    k: int
    n: int
    times: int = 1
    kind: GemmKind = "dense"
    held: int = 1

    @property
    def flops(self) -> int:
        """Forward FLOPs per token."""
        return 2 * self.k * self.n * self.times

    @property
    def params(self) -> int:
        """Elements held."""
        return self.k * self.n * self.held


def mixer_gemms(mixer: Mixer, hidden: int) -> list[Gemm]:
    """A mixer's weight matrices, in the expanded (training) form of MLA."""
    if isinstance(mixer, SoftmaxAttention):
        keys = 0 if mixer.shared_cache else mixer.kv_heads * mixer.head_dim
        values = 0 if mixer.shared_projection or mixer.shared_cache else mixer.kv_heads * mixer.value_head
        out = mixer.heads * mixer.value_head
        gate = out if mixer.output_gate else 0
        return [
            Gemm("query, key, value", hidden, mixer.heads * mixer.head_dim + gate + keys + values),
            Gemm("attention output", out, hidden),
        ]
    if isinstance(mixer, LatentAttention):
        return _latent_gemms(mixer, hidden)
    if isinstance(mixer, CompressedAttention):
        return _compressed_gemms(mixer, hidden)
    if isinstance(mixer, ShortConvolution):
        return [
            Gemm("convolution input", hidden, 3 * mixer.heads),
            Gemm("convolution output", mixer.heads, hidden),
        ]
    inner, keys = mixer.heads * mixer.head_dim, mixer.groups * mixer.state_dim
    if mixer.rank is not None:
        return [
            Gemm("state input", hidden, 2 * inner),
            Gemm("state parameters", inner, mixer.rank + 2 * keys),
            Gemm("step sizes", mixer.rank, inner),
            Gemm("state output", inner, hidden),
        ]
    if mixer.gate_rank is not None:
        return [
            Gemm("state input", hidden, inner + 2 * keys + mixer.heads),
            Gemm("gates down", hidden, 2 * mixer.gate_rank),
            Gemm("gates up", mixer.gate_rank, inner, 2, held=2),
            Gemm("state output", inner, hidden),
        ]
    gates = (2 if mixer.delta else 1) * mixer.heads
    return [Gemm("state input", hidden, 2 * inner + 2 * keys + gates), Gemm("state output", inner, hidden)]


def _latent_gemms(mixer: LatentAttention, hidden: int) -> list[Gemm]:
    query = mixer.heads * (mixer.nope_dim + mixer.rope_dim)
    values = mixer.heads * mixer.value_dim
    found = [Gemm("latent down", hidden, mixer.kv_rank + mixer.rope_dim)]
    if mixer.q_rank is None:
        found += [Gemm("query", hidden, query)]
    else:
        found += [Gemm("query down", hidden, mixer.q_rank), Gemm("query up", mixer.q_rank, query)]
    found += [
        Gemm("latent up", mixer.kv_rank, mixer.heads * (mixer.nope_dim + mixer.value_dim)),
        Gemm("attention output", values, hidden),
    ]
    if mixer.output_gate:
        found.append(Gemm("output gate", hidden, values))
    if mixer.index_heads:  # V3.2: queries from the query latent, one key and the heads' weights from D
        found += [
            Gemm("index query", mixer.q_rank or hidden, mixer.index_heads * mixer.index_dim),
            Gemm("index key", hidden, mixer.index_dim + mixer.index_heads),
        ]
    return found


def _compressed_gemms(mixer: CompressedAttention, hidden: int) -> list[Gemm]:
    wide = mixer.heads * mixer.head_dim
    found = [
        Gemm("query down", hidden, mixer.q_rank),
        Gemm("query up", mixer.q_rank, wide),
        Gemm("key-value", hidden, mixer.head_dim),
        # per group of heads, a block of a block-diagonal matrix
        Gemm("output down", wide // mixer.out_groups, mixer.out_rank, mixer.out_groups, held=mixer.out_groups),
        Gemm("output up", mixer.out_groups * mixer.out_rank, hidden),
    ]
    if mixer.compression:
        overlap = 2 if mixer.index_topk is not None else 1
        found.append(Gemm("compressor", hidden, 2 * overlap * mixer.head_dim))  # values and pooling gates
    if mixer.compression and mixer.index_topk is not None:
        found += [
            Gemm("index compressor", hidden, 4 * mixer.index_dim),
            Gemm("index query", mixer.q_rank, mixer.index_heads * mixer.index_dim),
            Gemm("index weights", hidden, mixer.index_heads),
        ]
    return found


def feed_forward_gemms(part: FeedForwardSpec | ExpertsSpec, hidden: int) -> list[Gemm]:
    """A dense feed-forward's two matrices (gate and up side by side), or a mixture's."""
    fan = 2 if part.gated else 1
    if isinstance(part, FeedForwardSpec):
        return [Gemm("up", hidden, fan * part.width), Gemm("down", part.width, hidden)]
    found = [Gemm("router", hidden, part.experts + part.zero_experts, kind="router")]
    inside = hidden
    if part.latent_dim is not None:
        inside = part.latent_dim
        found += [Gemm("latent in", hidden, inside), Gemm("latent out", inside, hidden)]
    found += [
        Gemm("expert up", inside, fan * part.width, part.top_k, "expert", part.experts),
        Gemm("expert down", part.width, inside, part.top_k, "expert", part.experts),
    ]
    if part.shared_width:
        found += [
            Gemm("shared up", hidden, fan * part.shared_width, kind="shared"),
            Gemm("shared down", part.shared_width, hidden, kind="shared"),
        ]
    return found


def connection_gemms(block: LayerGroup, arch: Architecture) -> list[Gemm]:
    """The hyper-connection of each part of a layer, where there are several residual streams.

    It reads all n streams of D, and makes n weights to collapse them, n to spread the part's output and n x n to mix
    the streams (arXiv 2606.19348).
    """
    n, parts = arch.streams, sum(part is not None for part in (block.mixer, block.feed_forward))
    return [Gemm("hyper-connection", n * arch.hidden, 2 * n + n * n)] * parts if n > 1 else []


def layer_input_gemms(block: LayerGroup, arch: Architecture) -> list[Gemm]:
    """What a layer does with an embedding of its own (Gemma 3n): P numbers from the model's input beside those that
    are looked up, a gate on them from the layer's output, and back to D."""
    if not arch.layer_inputs or block.mixer is None:
        return []
    inner = Gemm("layer input and gate", arch.hidden, 2 * arch.layer_inputs)
    return [inner, Gemm("layer input back", arch.layer_inputs, arch.hidden)]


def side_gemms(block: LayerGroup, arch: Architecture) -> list[Gemm]:
    """What stands beside a layer's attention in Gemma 3n: LAuReL's product of low rank (arXiv 2411.07501), and how
    AltUp (arXiv 2301.13310) weighs its streams, from the one that the layer works on."""
    if block.mixer is None:
        return []
    rank, n = arch.side_rank, arch.alternating
    found = [Gemm("LAuReL down", arch.hidden, rank), Gemm("LAuReL up", rank, arch.hidden)] if rank else []
    return found + ([Gemm("AltUp", arch.hidden, n), Gemm("AltUp streams", n, n + n * n)] if n > 1 else [])


def gemms(block: LayerGroup, arch: Architecture) -> list[Gemm]:
    """The weight matrices of one layer of `block`: mixer first, hyper-connections and layer inputs between,
    feed-forward last."""
    found = mixer_gemms(block.mixer, arch.hidden) if block.mixer is not None else []
    found += connection_gemms(block, arch) + layer_input_gemms(block, arch) + side_gemms(block, arch)
    return found + (feed_forward_gemms(block.feed_forward, arch.hidden) if block.feed_forward is not None else [])
