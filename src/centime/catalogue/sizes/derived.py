"""The whole model behind a few stated sizes: depth and width, heads, experts; every gap filled by a stated rule.

The rules are read off what was published. Dense models are 128 wide a layer (Llama 3: 4,096 / 32 and 16,384 / 126;
Qwen3-14B: 5,120 / 40), mixtures about 80 (gpt-oss-120b 2,880 / 36, V2-Lite 2,048 / 27, V3 7,168 / 61, Qwen3-30B
2,048 / 48), with feed-forwards of 3.5 D (Llama 3), in mixtures of 3 D over all experts that a token visits (Qwen3).
Depth and width are those nearest to the parameters that a token uses; the feed-forwards then take what is left, so that
the parameters come out as stated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from centime.catalogue.architecture import (
    Architecture,
    ExpertsSpec,
    FeedForwardSpec,
    LatentAttention,
    LayerGroup,
    SoftmaxAttention,
)
from centime.catalogue.sizes.stated import StatedSizes
from centime.errors import UserError
from centime.messages import Said, said
from centime.units import format_count

_WIDTH_OVER_DEPTH = {False: 128, True: 80}  # of a dense model, of a mixture
_FEED_FORWARD = {False: 3.5, True: 3.0}  # width over D, of all that a token meets in a layer
_HEAD_DIM, _KV_HEADS = 128, 8  # Llama 3, Qwen3
_HEADS_MULTIPLE = 8  # heads that eight chips share evenly
_VOCAB, _SMALL_VOCAB = 128_256, 50_304  # Llama 3; GPT-2's in a multiple of 64, for models below a billion
_TIED_BELOW = 4e9  # parameters: Llama 3.2 3B and Qwen3-4B share embedding and head, 8B do not
_TOP_K, _EXPERTS_MULTIPLE = 8, 8  # Qwen3, V3 and Kimi K2; experts that eight chips share evenly
_LATENT, _ROPE, _QUERY_RANK, _QUERY_RANK_FROM = 512, 64, 1536, 4096  # V2 and V3; V2-Lite has no query rank
_OFF_BY = {"parameters": 0.05, "active parameters": 0.2}  # what rounding to '16B' and '3B' explains


def derived(sizes: StatedSizes) -> Architecture:
    """The architecture. Raises UserError where the sizes contradict each other or leave nothing for a part."""
    frame = min(_frames(sizes), key=lambda one: one.off)
    if sizes.dense_layers and sizes.dense_layers >= frame.layers:
        raise UserError(
            f"model {sizes.name}: dense_layers={sizes.dense_layers} leaves none of {frame.layers} layers with "
            "experts; give fewer, or say how many layers there are."
        )
    dense, mixture = _feed_forwards(sizes, frame)
    blocks = []
    if dense is not None:
        blocks.append(LayerGroup(frame.mixer, dense, frame.dense_layers))
    if mixture is not None:
        blocks.append(LayerGroup(frame.mixer, mixture, frame.layers - frame.dense_layers))
    total, active = _parameters(frame, dense, mixture)
    for what, named, found in (("parameters", sizes.total, total), ("active parameters", sizes.active, active)):
        if named is not None and abs(found / named - 1) > _OFF_BY[what]:
            raise UserError(
                f"model {sizes.name}: {sizes.given or 'usual shapes'} come to {format_count(found)} {what}, not "
                f"{format_count(named)}; change one, or leave it out."
            )
    return Architecture(
        name=sizes.name,
        hidden=frame.hidden,
        vocab=frame.vocab,
        blocks=tuple(blocks),
        tied=frame.tied,
        source=said("sizes stated on the command line"),
        assumptions=tuple(_assumed(sizes, frame, dense, mixture)),
    )


@dataclass(frozen=True)
class _Frame:
    """A model without its feed-forwards. off: how far, in logarithms, usual ones would be from what is stated."""

    layers: int
    dense_layers: int
    hidden: int
    mixer: SoftmaxAttention | LatentAttention
    vocab: int
    tied: bool
    off: float

    @property
    def attention(self) -> int:
        """Parameters of the attention of one layer."""
        mixer, hidden = self.mixer, self.hidden
        if isinstance(mixer, SoftmaxAttention):
            return 2 * hidden * mixer.head_dim * (mixer.heads + mixer.kv_heads)
        query, rank = mixer.heads * (mixer.nope_dim + mixer.rope_dim), mixer.q_rank
        queries = hidden * query if rank is None else rank * (hidden + query)
        keys = hidden * (mixer.kv_rank + mixer.rope_dim) + mixer.kv_rank * mixer.heads * 2 * mixer.nope_dim
        return queries + keys + mixer.heads * mixer.value_dim * hidden

    @property
    def rest(self) -> int:
        """Parameters outside the feed-forwards; norms are too few to matter."""
        return self.layers * self.attention + self.vocab * self.hidden * (1 if self.tied else 2)


def _frames(sizes: StatedSizes) -> Iterator[_Frame]:
    """The frames to choose from: one where depth and width are given, else every depth or width there could be."""
    used = sizes.active or sizes.total
    ratio = _WIDTH_OVER_DEPTH[sizes.is_mixture]
    if sizes.layers and sizes.hidden:
        yield _frame(sizes, sizes.layers, sizes.hidden, used)
    elif sizes.hidden:
        yield from (_frame(sizes, layers, sizes.hidden, used) for layers in range(1, 513))
    elif sizes.layers:
        yield from (_frame(sizes, sizes.layers, 128 * width, used) for width in range(1, 513))
    else:
        for layers in (*range(1, 9), *range(10, 24, 2), *range(24, 513, 4)):  # depths that pipelines can cut
            yield _frame(sizes, layers, _multiple(ratio * layers, 64 if ratio * layers < 1024 else 128), used)


def _frame(sizes: StatedSizes, layers: int, hidden: int, used: float | None) -> _Frame:
    vocab = sizes.vocab or (_SMALL_VOCAB if sizes.total is not None and sizes.total < 1e9 else _VOCAB)
    tied = sizes.total is not None and sizes.total < _TIED_BELOW
    frame = _Frame(layers, _dense_layers(sizes, layers), hidden, _mixer(sizes, hidden), vocab, tied, 0.0)
    usual = frame.rest + layers * 3 * hidden * _FEED_FORWARD[sizes.is_mixture] * hidden
    return _Frame(**{**vars(frame), "off": abs(math.log(usual / used))}) if used else frame


def _dense_layers(sizes: StatedSizes, layers: int) -> int:
    return min(sizes.dense_layers or 0, layers - 1) if sizes.is_mixture else layers


def _mixer(sizes: StatedSizes, hidden: int) -> SoftmaxAttention | LatentAttention:
    head_dim = sizes.head_dim or (hidden // sizes.heads if sizes.heads and not hidden % sizes.heads else _HEAD_DIM)
    if sizes.head_dim is None and sizes.heads is None and hidden < _KV_HEADS * _HEAD_DIM:
        head_dim = 64  # as in GPT-2's smaller sizes
    heads = sizes.heads or max(1, round(hidden / head_dim))
    if sizes.heads is None and heads > _HEADS_MULTIPLE:
        heads = int(heads / _HEADS_MULTIPLE + 0.5) * _HEADS_MULTIPLE
    if sizes.latent:
        rank = _QUERY_RANK if hidden >= _QUERY_RANK_FROM else None
        return LatentAttention(heads, rank, _LATENT, _HEAD_DIM, _ROPE, _HEAD_DIM)
    if sizes.kv_heads is not None:  # 0: as many as heads
        kv_heads = sizes.kv_heads or heads
        heads = sizes.heads or max(1, round(heads / kv_heads)) * kv_heads
        return SoftmaxAttention(heads, kv_heads, head_dim)
    return SoftmaxAttention(heads, math.gcd(heads, _KV_HEADS), head_dim)


def _feed_forwards(sizes: StatedSizes, frame: _Frame) -> tuple[FeedForwardSpec | None, ExpertsSpec | None]:
    if sizes.is_mixture:
        mixture = _mixture(sizes, frame)
        visited = mixture.top_k * mixture.width + mixture.shared_width  # V3's and V2-Lite's dense layers are as wide
        return (FeedForwardSpec(sizes.ffn or visited) if frame.dense_layers else None), mixture
    if sizes.ffn or sizes.total is None:
        return FeedForwardSpec(sizes.ffn or _multiple(_FEED_FORWARD[False] * frame.hidden)), None
    width = (sizes.total - frame.rest) / (3 * frame.hidden * frame.layers)
    return FeedForwardSpec(_left(sizes, frame, width)), None


def _mixture(sizes: StatedSizes, frame: _Frame) -> ExpertsSpec:
    """Experts of as much in all, and a shared one that takes what a token uses beside those that it visits.

    In units of width (3 D parameters in every layer with experts): E F + S in all, K F + S for a token.
    """
    layers = frame.layers - frame.dense_layers
    unit = 3 * frame.hidden * layers
    dense = frame.dense_layers * 3 * frame.hidden * (sizes.ffn or 0)
    visited = None if sizes.active is None else (sizes.active - frame.rest - dense) / unit
    held = None if sizes.total is None else (sizes.total - frame.rest - dense) / unit
    if visited is not None:
        _left(sizes, frame, visited)
    top_k = min(sizes.topk or _TOP_K, sizes.experts or sizes.topk or _TOP_K)
    if sizes.dense_layers and not sizes.ffn:  # they are as wide as all that a token visits, and there are as many
        spread = frame.dense_layers / layers
        visited = visited / (1 + spread) if visited is not None else None
        held = held - spread * (visited or 0) if held is not None else None
    experts = sizes.experts
    if experts is None:
        assert held is not None  # both: _require_together asks for them
        assert visited is not None
        seen = visited - (sizes.shared_width or 0)
        _left(sizes, frame, seen)
        wide = sizes.expert_width or seen / top_k
        experts = max(
            top_k, math.ceil((held - (sizes.shared_width or 0)) / wide / _EXPERTS_MULTIPLE) * _EXPERTS_MULTIPLE
        )
    if held is not None:
        held -= experts / 3  # the router
    width = sizes.expert_width
    if width is None:
        assert held is not None
        if visited is None or sizes.shared_width is not None or experts == top_k:
            width = _left(sizes, frame, (held - (sizes.shared_width or 0)) / experts, 8)
        else:
            width = _left(sizes, frame, (held - visited + experts / 3) / (experts - top_k), 8)
    shared = sizes.shared_width
    if shared is None:
        beside = 0.0 if visited is None else visited - experts / 3 - top_k * width
        shared = _multiple(beside, 8) if beside > width / 8 else 0
    return ExpertsSpec(experts, top_k, width, shared)


def _left(sizes: StatedSizes, frame: _Frame, width: float, multiple: int = 64) -> int:
    """A width that is left for a feed-forward, as a whole number. Raises UserError where nothing is left."""
    if width < 1:
        stated = sizes.active or sizes.total or 0
        raise UserError(
            f"model {sizes.name}: {frame.layers} layers of {frame.hidden} and a vocabulary of {frame.vocab:,} take "
            f"{format_count(frame.rest)} of {format_count(stated)} parameters before any feed-forward; give fewer "
            "layers, a smaller hidden or vocab, or more parameters."
        )
    return _multiple(width, multiple)


def _multiple(width: float, of: int = 64) -> int:
    return max(1, round(width)) if width < 4 * of else round(width / of) * of


def _parameters(frame: _Frame, dense: FeedForwardSpec | None, mixture: ExpertsSpec | None) -> tuple[int, int]:
    """In all, and of a token."""
    total = frame.rest + (frame.dense_layers * 3 * frame.hidden * dense.width if dense is not None else 0)
    if mixture is None:
        return total, total
    layers = frame.layers - frame.dense_layers
    beside = total + layers * frame.hidden * (mixture.experts + 3 * mixture.shared_width)
    expert = layers * 3 * frame.hidden * mixture.width
    return beside + mixture.experts * expert, beside + mixture.top_k * expert


def _assumed(
    sizes: StatedSizes, frame: _Frame, dense: FeedForwardSpec | None, mixture: ExpertsSpec | None
) -> Iterator[Said]:
    if not (sizes.layers and sizes.hidden):
        yield said(
            "{layers} layers of {hidden:,}, assumed: as deep and wide as published models of as many parameters",
            layers=frame.layers,
            hidden=frame.hidden,
        )
    mixer = frame.mixer
    if isinstance(mixer, LatentAttention):
        yield said(
            "{heads} heads with a latent of {latent} and DeepSeek-V3's other sizes, assumed",
            heads=mixer.heads,
            latent=_LATENT,
        )
    elif None in (sizes.heads, sizes.kv_heads):
        yield said(
            "{heads} heads of {head_dim} that share {kv_heads:,|key-value head|key-value heads}, assumed",
            heads=mixer.heads,
            head_dim=mixer.head_dim,
            kv_heads=mixer.kv_heads,
        )
    if sizes.vocab is None:
        yield said("A vocabulary of {vocab:,}, assumed", vocab=frame.vocab)
    if frame.tied:
        yield said("Embedding and head are one matrix, assumed below {limit:count} parameters", limit=_TIED_BELOW)
    if dense is not None and sizes.ffn is None:
        yield said(
            "A feed-forward of {width:,} in {layers:,|layer|layers}, assumed",
            width=dense.width,
            layers=frame.dense_layers,
        )
    if mixture is not None and None in (sizes.experts, sizes.topk, sizes.expert_width):
        yield said(
            "The best {top_k} of {experts} experts of width {width:,}, assumed",
            top_k=mixture.top_k,
            experts=mixture.experts,
            width=mixture.width,
        )
    if mixture is not None and sizes.shared_width is None and mixture.shared_width:
        yield said(
            "A shared expert of width {width:,} for what a token uses beside, assumed", width=mixture.shared_width
        )
