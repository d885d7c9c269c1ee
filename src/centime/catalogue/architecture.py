"""What a language model is made of, as the planner sees it: blocks of a token mixer and a feed-forward, and how many.

Wider than `ModelConfig`, which is what centime can build: here are also grouped-query attention, sliding windows,
sparse attention, state-space layers and mixtures with a latent. Sizes are in elements; the letters: D hidden, H heads,
L latent, R rope dim, E experts, K top-k, F expert width, V vocabulary.
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
    bias: bool = False


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


@dataclass(frozen=True)
class CompressedAttention:
    """DeepSeek-V4's attention: one shared key-value head over compressed positions beside a sliding window."""

    heads: int
    q_rank: int
    head_dim: int
    window: int
    index_topk: int | None


@dataclass(frozen=True)
class StateSpace:
    """A Mamba-2 mixer (arXiv 2405.21060), or a linear attention of the same cost (gated delta net)."""

    heads: int
    head_dim: int
    state_dim: int
    groups: int
    conv_width: int = 4


Mixer = SoftmaxAttention | LatentAttention | CompressedAttention | StateSpace


@dataclass(frozen=True)
class FeedForward:
    """A dense feed-forward; gated (SwiGLU) has three matrices, otherwise two."""

    width: int
    gated: bool = True


@dataclass(frozen=True)
class Experts:
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


@dataclass(frozen=True)
class Block:
    """`repeat` layers alike, each of a mixer, a feed-forward or both, with a norm before each of the two."""

    mixer: Mixer | None
    feed_forward: FeedForward | Experts | None
    repeat: int = 1


@dataclass(frozen=True)
class Architecture:
    """A whole model. `published_*` are what its makers state, in parameters; None where nobody does."""

    name: str
    hidden: int  # D
    vocab: int  # V
    blocks: tuple[Block, ...]
    tied: bool = False  # embedding and head are one matrix
    mtp_modules: int = 0  # each one more layer like the last block's, with a projection of 2 D -> D
    learned_positions: int = 0  # rows of a learned position table (0: rotary or none)
    published_params: float | None = None
    published_active: float | None = None
    source: str = ""
    assumptions: tuple[str, ...] = ()  # what was filled in, a sentence each

    @property
    def layers(self) -> int:
        """Layers of all blocks."""
        return sum(block.repeat for block in self.blocks)

    @property
    def is_mixture(self) -> bool:
        """Whether any layer routes to experts."""
        return any(isinstance(block.feed_forward, Experts) for block in self.blocks)
