"""What a language model is made of, as the planner sees it: blocks of a token mixer and a feed-forward, and how many.

Wider than `ModelConfig`, which is what centime can build: here are also grouped-query attention, sliding windows,
sparse and compressed attention, state-space layers and mixtures with a latent. Sizes are in elements; D hidden,
H heads, L latent, R rope dim, E experts, K top-k, F expert width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SoftmaxAttention:
    """Multi-head, grouped-query (kv_heads < heads) or multi-query (kv_heads = 1) attention."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None  # a query meets at most so many keys; None: all before it
    output_gate: bool = False  # a sigmoid gate on the output, as wide as the heads together
    bias: bool = False  # on queries, keys and values
    out_bias: bool = False
    head_norms: bool = False  # a norm of query heads and one of key heads (Qwen3)
    value_dim: int | None = None  # of a value head; None: head_dim
    shared_projection: bool = False  # keys and values are one projection, kept apart in the cache (Gemma 4)
    shared_cache: bool = False  # keys and values are those of a layer before, projected and kept there (Gemma 3n, 4)

    @property
    def value_head(self) -> int:
        """Width of a value head."""
        return self.head_dim if self.value_dim is None else self.value_dim


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (V2 report, section 2.1)."""

    heads: int
    q_rank: int | None  # None: a plain query projection
    kv_rank: int  # L
    nope_dim: int
    rope_dim: int  # R
    value_dim: int
    index_topk: int | None = None  # DeepSeek sparse attention: keys a query keeps; None: all
    index_heads: int = 0
    index_dim: int = 0
    output_gate: bool = False


@dataclass(frozen=True)
class CompressedAttention:
    """DeepSeek-V4's attention (arXiv 2606.19348): one shared key-value head over compressed positions and a window.

    `compression` positions become one entry; 0 leaves the window alone. With `index_topk` an indexer picks the entries
    that a query meets (and each entry overlaps its neighbour, which doubles the compressor); without it, all are met.
    """

    heads: int
    q_rank: int
    head_dim: int
    window: int
    index_topk: int | None
    compression: int = 0
    index_heads: int = 0
    index_dim: int = 0
    out_groups: int = 1  # the output projection works per group of heads, then mixes groups through `out_rank`
    out_rank: int = 0


@dataclass(frozen=True)
class StateSpace:
    """A Mamba-2 mixer (arXiv 2405.21060), or a linear attention of the same shape (gated delta net, `delta`).

    `heads` of `head_dim` values each keep a state of head_dim x state_dim; keys and queries are shared by
    heads / groups of them. A Mamba-1 mixer (arXiv 2312.00752) has a head of width 1 for every channel, and makes its
    keys, queries and step sizes, through `rank`, from the channels themselves.
    """

    heads: int
    head_dim: int
    state_dim: int
    groups: int
    conv_width: int = 4
    delta: bool = False  # the delta rule: two gates a head instead of one, and the state is read once more
    rank: int | None = None  # of Mamba-1's step sizes
    gate_rank: int | None = None  # Kimi delta attention: decays of every channel and output gates, through this rank


@dataclass(frozen=True)
class ShortConvolution:
    """A gated convolution over the last `width` positions (LFM2), in `heads` channels, each a head of width one."""

    heads: int
    width: int


Mixer = SoftmaxAttention | LatentAttention | CompressedAttention | StateSpace | ShortConvolution


@dataclass(frozen=True)
class FeedForwardSpec:
    """A dense feed-forward; gated (SwiGLU) has three matrices, otherwise two."""

    width: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True)
class ExpertsSpec:
    """A mixture: a router, E experts of which a token visits K, and shared experts that all tokens visit."""

    experts: int  # E
    top_k: int  # K
    width: int  # F
    shared_width: int = 0  # of all shared experts together
    gated: bool = True
    latent_dim: int | None = None  # experts work in a space of this width, projected in and out once a layer
    correction_bias: bool = False
    groups: int = 1  # routing is limited to `top_groups` of them
    top_groups: int = 1
    bias: bool = False
    zero_experts: int = 0  # others that the router may choose and that compute nothing (LongCat)


@dataclass(frozen=True)
class LayerGroup:
    """`repeat` layers alike, each of a mixer, a feed-forward or both, with a norm before each of the two."""

    mixer: Mixer | None
    feed_forward: FeedForwardSpec | ExpertsSpec | None
    repeat: int = 1


@dataclass(frozen=True)
class StoredWeights:
    """In what format a checkpoint holds its weights: 'fp8', 'fp4' (NVFP4), 'mxfp4', 'int8' (activations too), 'int8
    weights', 'int4' or 'bf16'. `experts` is that of routed experts, of a dense model that of feed-forwards.
    """

    method: str  # quantization_config's: fp8, mxfp4, modelopt, awq, ...
    experts: str
    rest: str


@dataclass(frozen=True)
class Encoder:
    """What stands beside a decoder for images or sounds: its part of config.json, and its parameters (None: not
    counted)."""

    part: str
    parameters: int | None


@dataclass(frozen=True)
class Architecture:
    """A whole model. `published_*` are what its makers state, in parameters; None where nobody does.

    Layers that alternate are gathered by kind, in the order of each kind's first layer: what is counted does not
    depend on the order, and a pipeline's stages hold mixtures of them.
    """

    name: str
    hidden: int  # D
    vocab: int  # V
    blocks: tuple[LayerGroup, ...]
    tied: bool = False  # embedding and head are one matrix
    mtp_modules: int = 0  # each one `mtp_block` more, with a projection of 2 D -> D
    layer_inputs: int = 0  # width of the embedding that every layer has of its own (Gemma 3n, 4)
    layer_vocab: int = 0  # its rows
    alternating: int = 1  # residual streams of which a layer works on one and mends the others (AltUp, Gemma 3n)
    side_rank: int = 0  # of a product beside every layer's attention, D -> rank -> D (LAuReL, Gemma 3n)
    learned_positions: int = 0  # rows of a learned position table (0: rotary or none)
    published_params: float | None = None
    published_active: float | None = None
    source: str = ""
    assumptions: tuple[str, ...] = ()  # what was filled in, a sentence each
    mtp_blocks: tuple[LayerGroup, ...] = ()  # what an MTP module consists of; empty: one layer like the last block's
    streams: int = 1  # residual streams of D elements, mixed by hyper-connections where there are several
    stored: StoredWeights | None = None  # how its checkpoint is quantised; None: in 16 bits, or unknown
    encoders: tuple[Encoder, ...] = ()  # beside the decoder, in none of its counts
    norm_bias: bool = False  # LayerNorm with a bias, and biases in every linear layer (GPT-3's kind)

    @property
    def layers(self) -> int:
        """Layers of all blocks."""
        return sum(block.repeat for block in self.blocks)

    @property
    def other_tables(self) -> int:
        """Parameters of the tables that a token is looked up in beside the embedding: positions, layers' own."""
        return self.learned_positions * self.hidden + self.layer_vocab * self.layers * self.layer_inputs

    @property
    def is_mixture(self) -> bool:
        """Whether any layer routes to experts."""
        return any(isinstance(block.feed_forward, ExpertsSpec) for block in self.blocks)

    @property
    def mtp_layers(self) -> tuple[LayerGroup, ...]:
        """The layers of one MTP module."""
        last = self.blocks[-1]
        return self.mtp_blocks or (LayerGroup(last.mixer, last.feed_forward, 1),)
