"""Models that nobody built, for comparison's sake: one family's shape at another size, or with another's attention.

What a family keeps from size to size, as its published members do (Llama 3: 8 B to 405 B; DeepSeek V2-Lite, V2, V3):
the width of a head, the latent's ranks, the number of key-value heads, of experts and of experts a token visits, and
the vocabulary. Depth and width grow together, and feed-forwards and heads with the width.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from centime.catalogue.architecture import (
    Architecture,
    CompressedAttention,
    ExpertsSpec,
    FeedForwardSpec,
    LayerGroup,
    Mixer,
    ShortConvolution,
    SoftmaxAttention,
    StateSpace,
)
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture

WIDTH_MULTIPLE = 128  # tensor cores like multiples of 128 (NVIDIA's matrix-multiplication guide); published widths are
EXPERT_MULTIPLE = 64  # half a tile: fine-grained experts are narrow
LEAST_HIDDEN = 512


@dataclass(frozen=True)
class Sparsity:
    """What a mixture's leverage depends on, averaged over its expert layers.

    activation: experts visited / experts held, shared ones counted in both, as wide as the routed (Ling's A);
    granularity: 2 D / F (Ling's G); expansion: experts held / visited (Clark's E at K = 1, generalised by B in his
    equation 2). A dense model has activation 1 and expansion 1.
    """

    activation: float
    granularity: float

    @property
    def expansion(self) -> float:
        return 1 / self.activation


DENSE = Sparsity(1.0, 2.0)


@functools.lru_cache(maxsize=4096)
def resized(arch: Architecture, params: float) -> Architecture:
    """`arch`'s shape at about `params` parameters in all; `arch` itself when that is its own size within 0.1 %.

    Depth scales with the cube root, then the width is found by bisection over multiples of 128 and the feed-forwards
    take up what rounding left. Counts of the result are exact; its size is the nearest that the multiples allow.
    Raises UserError when the vocabulary alone is larger.
    """
    own = count_architecture(arch).total_params
    if abs(params / own - 1) < 1e-3:
        return arch
    floor = count_architecture(_scaled(arch, LEAST_HIDDEN, 1, 1.0)).total_params
    if params < floor:
        raise UserError(
            f"{arch.name}'s shape cannot be made as small as {params / 1e9:.3g} B parameters; the smallest that keeps "
            f"its vocabulary has {floor / 1e9:.3g} B."
        )
    layers = max(1, round(arch.layers * (params / own) ** (1 / 3)))
    low, high = LEAST_HIDDEN // WIDTH_MULTIPLE, 64 * arch.hidden // WIDTH_MULTIPLE
    while low < high:  # the narrowest model with at least that many parameters
        middle = (low + high) // 2
        enough = count_architecture(_scaled(arch, middle * WIDTH_MULTIPLE, layers, 1.0)).total_params >= params
        low, high = (low, middle) if enough else (middle + 1, high)
    hidden = low * WIDTH_MULTIPLE
    full = count_architecture(_scaled(arch, hidden, layers, 1.0)).total_params
    half = count_architecture(_scaled(arch, hidden, layers, 0.5)).total_params
    share = 1 - 0.5 * (full - params) / (full - half) if full > half else 1.0
    return _scaled(arch, hidden, layers, max(0.1, share))


def with_attention(arch: Architecture, donor: Architecture) -> Architecture:
    """`arch` with `donor`'s attention in every layer that has a mixer, as many heads per unit of width as there.

    A donor of several mixers (windows and full attention, state-space layers) lends them in their own proportions.
    """
    if donor.hidden == arch.hidden and _mixers(donor) == _mixers(arch):
        return arch
    lent = [(block.mixer, block.repeat) for block in donor.blocks if block.mixer is not None]
    if not lent:
        raise UserError(f"{donor.name} has no attention to lend.")
    width = arch.hidden / donor.hidden
    total, have = sum(repeat for _, repeat in lent), sum(block.repeat for block in arch.blocks if block.mixer)
    blocks: list[LayerGroup] = []
    done = 0
    for block in arch.blocks:
        if block.mixer is None:
            blocks.append(block)
            continue
        before = 0
        for (
            mixer,
            repeat,
        ) in lent:  # layers done .. done + block.repeat of `have`, against the donor's cumulative shares
            start = max(done, round(have * before / total))
            before += repeat
            end = min(done + block.repeat, round(have * before / total))
            if end > start:
                blocks.append(LayerGroup(_mixer(mixer, width), block.feed_forward, end - start))
        done += block.repeat
    name = f"{arch.name} with {donor.name}'s attention"
    return replace(arch, name=name, blocks=tuple(blocks), published_params=None, published_active=None)


def sparsity(arch: Architecture) -> Sparsity:
    """A model's activation ratio and granularity over its expert layers, as Ling counts them (shared experts too)."""
    active = held = fine = 0.0
    for block in arch.blocks:
        part = block.feed_forward
        if isinstance(part, ExpertsSpec):
            shared = part.shared_width / part.width
            active += block.repeat * (part.top_k + shared)
            held += block.repeat * (part.experts + shared)
            fine += block.repeat * 2 * (part.latent_dim or arch.hidden) / part.width
    layers = sum(block.repeat for block in arch.blocks if isinstance(block.feed_forward, ExpertsSpec))
    return Sparsity(active / held, fine / layers) if layers else DENSE


def _mixers(arch: Architecture) -> list[tuple[Mixer | None, int]]:
    return [(block.mixer, block.repeat) for block in arch.blocks]


def _multiple(value: float, of: int) -> int:
    return max(of, round(value / of) * of)


def _scaled(arch: Architecture, hidden: int, layers: int, share: float) -> Architecture:
    """`arch` at another width and depth; `share` of the feed-forward width that the width alone would give."""
    width = hidden / arch.hidden
    blocks: list[LayerGroup] = []
    before = 0
    for block in arch.blocks:  # cumulative rounding keeps the proportions of kinds of layers
        start, before = round(before * layers / arch.layers), before + block.repeat
        repeat = round(before * layers / arch.layers) - start
        if repeat:
            blocks.append(_block(block, width, share, repeat))
    return replace(
        arch,
        name=f"{arch.name} resized to {layers} layers of {hidden}",
        hidden=hidden,
        blocks=tuple(blocks) or (_block(arch.blocks[-1], width, share, 1),),
        mtp_blocks=tuple(_block(block, width, share, block.repeat) for block in arch.mtp_blocks),
        published_params=None,
        published_active=None,
    )


def _block(block: LayerGroup, width: float, share: float, repeat: int) -> LayerGroup:
    part = block.feed_forward
    if isinstance(part, FeedForwardSpec):
        part = replace(part, width=_multiple(part.width * width * share, WIDTH_MULTIPLE))
    elif isinstance(part, ExpertsSpec):
        expert = _multiple(part.width * width * share, EXPERT_MULTIPLE)
        part = replace(
            part,
            width=expert,
            shared_width=round(part.shared_width / part.width * expert),
            latent_dim=_multiple(part.latent_dim * width, WIDTH_MULTIPLE) if part.latent_dim else None,
        )
    return LayerGroup(_mixer(block.mixer, width) if block.mixer else None, part, repeat)


def _mixer(mixer: Mixer, width: float) -> Mixer:
    """A mixer in a model `width` times as wide: heads in proportion, everything of one head as it was."""
    if isinstance(mixer, SoftmaxAttention):
        kv_heads = mixer.kv_heads
        if kv_heads == mixer.heads:  # multi-head attention stays so
            kv_heads = heads = max(1, round(mixer.heads * width))
        else:
            heads = _multiple(mixer.heads * width, kv_heads)
        return replace(mixer, heads=heads, kv_heads=kv_heads)
    if isinstance(mixer, CompressedAttention):
        return replace(mixer, heads=_multiple(mixer.heads * width, mixer.out_groups))
    if isinstance(mixer, StateSpace):
        return replace(mixer, heads=_multiple(mixer.heads * width, mixer.groups))
    if isinstance(mixer, ShortConvolution):
        return replace(mixer, heads=max(1, round(mixer.heads * width)))
    return replace(mixer, heads=_multiple(mixer.heads * width, 8 if mixer.heads >= 16 else 1))
