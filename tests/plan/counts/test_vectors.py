"""What a layer holds outside its matrices and does beside them, by hand: norms, biases, convolutions, attention."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from centime.catalogue.models import architecture
from centime.plan.counts import count
from centime.plan.counts.architecture import (
    attention_flops,
    count_architecture,
    idle_biases,
    kv_elements,
    vectors,
)

STATE_SPACE = StateSpace(heads=6, head_dim=10, state_dim=20, groups=2, conv_width=4)
COMPRESSED = CompressedAttention(heads=4, q_rank=32, head_dim=16, window=128, index_topk=None, compression=4)
LATENT = LatentAttention(heads=4, q_rank=None, kv_rank=24, nope_dim=8, rope_dim=4, value_dim=8)


@pytest.mark.parametrize(
    ("mixer", "elements"),
    [
        (SoftmaxAttention(4, 2, 16), 0),
        (SoftmaxAttention(4, 2, 16, bias=True), 4 * 16 + 2 * (16 + 16)),
        (SoftmaxAttention(4, 2, 16, out_bias=True), 48),
        (SoftmaxAttention(4, 2, 16, head_norms=True), 2 * 16),
        (LATENT, 24),
        (replace(LATENT, q_rank=40), 24 + 40),
        (COMPRESSED, 32 + 16 + 4),  # norms of the queries' rank and of the shared head, a sink a head
        # a convolution with its bias over values, keys and queries; decay, step and skip a head; a norm at its end
        (STATE_SPACE, 5 * (60 + 2 * 2 * 20) + 3 * 6 + 60),
        # Mamba-1: of every channel a convolution with its bias, step and skip, and a decay of each element of the state
        (StateSpace(heads=60, head_dim=1, state_dim=16, groups=1, conv_width=4, rank=5), 60 * (4 + 1 + 2 + 16)),
        (ShortConvolution(heads=48, width=3), 48 * 3),
        (
            replace(LATENT, index_topk=8, index_heads=2, index_dim=6),
            24 + 2 * 6,
        ),  # the index keys' norm has a bias
    ],
)
def test_elements_outside_the_matrices_by_hand(mixer: Mixer, elements: int) -> None:
    block = LayerGroup(mixer, FeedForwardSpec(64))
    arch = Architecture("one layer", 48, 100, (block,))
    assert vectors(block, arch) == 2 * 48 + elements  # and a norm before each half of the layer
    assert vectors(LayerGroup(mixer, None), arch) == 48 + elements


@pytest.mark.parametrize(
    ("part", "elements", "idle"),
    [
        (FeedForwardSpec(64), 0, 0),
        (FeedForwardSpec(64, bias=True), 2 * 64 + 48, 0),
        (FeedForwardSpec(64, gated=False, bias=True), 64 + 48, 0),
        (ExpertsSpec(8, 3, 16), 0, 0),
        (ExpertsSpec(8, 3, 16, correction_bias=True), 8, 0),
        (ExpertsSpec(8, 3, 16, bias=True), 8 * (2 * 16 + 48 + 1), 5 * (2 * 16 + 48)),  # the router has one an expert
        (ExpertsSpec(8, 3, 16, gated=False, bias=True), 8 * (16 + 48 + 1), 5 * (16 + 48)),
    ],
)
def test_biases_of_feed_forwards_by_hand(part: FeedForwardSpec | ExpertsSpec, elements: int, idle: int) -> None:
    block = LayerGroup(SoftmaxAttention(4, 2, 16), part)
    arch = Architecture("one layer", 48, 100, (block,))
    assert vectors(LayerGroup(None, part), arch) == 48 + elements
    assert idle_biases(block, arch) == idle
    counted = count_architecture(arch)
    bare = count_architecture(replace(arch, blocks=(replace(block, feed_forward=replace(part, bias=False)),)))
    held, used = counted.total_params - bare.total_params, counted.active_params - bare.active_params
    assert held - used == idle
    assert held == (elements if part.bias else 0)


def test_gpt_3_has_a_bias_with_every_norm_and_matrix() -> None:
    """arXiv 2005.14165, table 2.1: 96 layers of 12,288, four times as wide between, 2,048 positions."""
    h, layers = 12_288, 96
    parts = count(architecture("GPT-3-175B")).parts
    assert parts["norms"].total == (2 * layers + 1) * 2 * h
    assert parts["attention"].total == layers * (4 * h * h + 4 * h)
    assert parts["dense feed-forward"].total == layers * (8 * h * h + 5 * h)
    assert parts["positions"].total == 2048 * h
    llama = architecture("llama-3.1-8b")
    assert count(llama).parts["norms"].total == (2 * 32 + 1) * 4096


CONVOLUTION = ShortConvolution(heads=48, width=3)
PLAIN, WINDOW = SoftmaxAttention(4, 2, 16), SoftmaxAttention(4, 2, 16, window=64)
SPARSE = replace(LATENT, index_topk=64, index_heads=2, index_dim=6)
CHOSEN = replace(COMPRESSED, index_topk=8, index_heads=2, index_dim=6)


@pytest.mark.parametrize(
    ("mixer", "full", "cache"),
    [
        (CONVOLUTION, 2 * 48 * 3, 48 * 3),  # of the last positions, however long the sequence is
        (PLAIN, 2 * 4 * (16 + 16) * 1000, 1000 * 2 * (16 + 16)),
        (WINDOW, 2 * 4 * (16 + 16) * 64, 64 * 2 * (16 + 16)),
        (replace(PLAIN, shared_cache=True), 2 * 4 * (16 + 16) * 1000, 0),
        (LATENT, 2 * 4 * (8 + 4 + 8) * 1000, 1000 * (24 + 4)),
        (SPARSE, 2 * 4 * (8 + 4 + 8) * 64 + 2 * 2 * 6 * 1000, 1000 * (24 + 4 + 6)),
        (COMPRESSED, 4 * 4 * 16 * (128 + 250), 128 * 16 + 250 * 16),  # a window, and an entry for every four keys
        (CHOSEN, 4 * 4 * 16 * (128 + 8) + 2 * 2 * 6 * 250, 128 * 16 + 250 * (16 + 6)),
        (STATE_SPACE, 7 * 6 * 10 * 20, 60 * 20 + 4 * (60 + 2 * 2 * 20)),
    ],
)
def test_a_token_after_a_thousand_others_by_hand(mixer: Mixer, full: float, cache: float) -> None:
    assert attention_flops(mixer, 1000, full=True) == full
    assert kv_elements(mixer, 1000) == cache
    assert 0 < attention_flops(mixer, 1000) <= full
    short = attention_flops(mixer, 10, full=True)
    assert (short < full) == (not isinstance(mixer, ShortConvolution | StateSpace))
