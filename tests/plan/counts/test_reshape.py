"""Models resized and grafted: the size asked for, the family's constants kept, identity where nothing changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.architecture import (
    CompressedAttention,
    ExpertsSpec,
    LatentAttention,
    Mixer,
    ShortConvolution,
    SoftmaxAttention,
    StateSpace,
)
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture
from centime.plan.counts.reshape import _mixer, _scaled, resized, sparsity, with_attention

V3, LLAMA = architecture("deepseek-v3"), architecture("llama-3.1-405b")


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(("deepseek-v3", "llama-3.1-405b", "qwen3-235b-a22b")), params=st.floats(5e9, 3e12))
def test_a_resized_model_has_about_the_size_asked_for(name: str, params: float):
    arch = architecture(name)
    found = resized(arch, params)
    counts = count_architecture(found)
    assert counts.total_params == pytest.approx(params, rel=0.08)
    assert found.vocab == arch.vocab
    assert sparsity(found).activation == pytest.approx(sparsity(arch).activation, rel=0.05)
    assert found.hidden % 128 == 0


def test_its_own_size_is_itself():
    assert resized(V3, count_architecture(V3).total_params) is V3
    assert with_attention(V3, V3) is V3


def test_llama_405b_shape_at_8b_and_70b_is_close_to_the_published_ones():
    """arXiv 2407.21783, table 3: 32 layers of 4096, 80 layers of 8192."""
    assert resized(LLAMA, 8.03e9).hidden == pytest.approx(4096, rel=0.05)
    assert resized(LLAMA, 8.03e9).layers == pytest.approx(32, rel=0.1)
    assert resized(LLAMA, 70.6e9).hidden == pytest.approx(8192, rel=0.12)
    assert resized(LLAMA, 70.6e9).layers == pytest.approx(80, rel=0.15)


def test_attention_is_lent_with_heads_in_proportion():
    dense = with_attention(LLAMA, V3)
    assert all(isinstance(block.mixer, LatentAttention) for block in dense.blocks)
    assert dense.blocks[0].mixer.heads == pytest.approx(128 * 16384 / 7168, abs=8)
    mixture = with_attention(V3, LLAMA)
    assert all(isinstance(block.mixer, SoftmaxAttention) for block in mixture.blocks)
    assert [b.feed_forward for b in mixture.blocks] == [b.feed_forward for b in V3.blocks]
    assert mixture.layers == V3.layers
    wider = with_attention(V3, replace(V3, hidden=2 * V3.hidden))  # cut where V3 is
    assert [block.repeat for block in wider.blocks] == [block.repeat for block in V3.blocks]
    assert wider.blocks[0].mixer.heads == 64


@pytest.mark.parametrize(
    ("mixer", "half", "third"),
    [
        (SoftmaxAttention(96, 96, 128), (48, 48), (32, 32)),  # multi-head attention stays so
        (SoftmaxAttention(96, 8, 128), (48, 8), (32, 8)),
        (SoftmaxAttention(16, 8, 128), (8, 8), (8, 8)),
        (SoftmaxAttention(1, 1, 128), (1, 1), (1, 1)),
        (StateSpace(48, 64, 128, 8), (24,), (16,)),
        (ShortConvolution(1024, 3), (512,), (341,)),
        (LatentAttention(128, 1536, 512, 128, 64, 128), (64,), (40,)),  # in eights
        (LatentAttention(16, None, 512, 128, 64, 128), (8,), (8,)),
        (LatentAttention(15, None, 512, 128, 64, 128), (8,), (5,)),  # fewer than sixteen one by one
        (CompressedAttention(64, 64, 32, 16, None, out_groups=4), (32,), (20,)),
    ],
)
def test_heads_follow_the_width_in_whole_groups(mixer: Mixer, half: tuple[int, ...], third: tuple[int, ...]):
    for width, heads in ((1, None), (1 / 2, half), (1 / 3, third)):
        found = _mixer(mixer, width)
        if heads is None:
            assert found == mixer
        else:
            changed = dict(zip(("heads", "kv_heads"), heads, strict=False))
            assert found == replace(mixer, **changed)


@pytest.mark.parametrize("model", ["deepseek-v3", "llama-3.1-405b"])
@pytest.mark.parametrize("donor", ["Nemotron_3_Super", "Qwen3.5-397B-A17B", "DeepSeek-V4-Pro"])
def test_kinds_of_layers_are_lent_in_proportion(model: str, donor: str):
    arch, lender = architecture(model), architecture(donor)
    found = with_attention(arch, lender)
    assert found.layers == arch.layers
    assert all(block.repeat > 0 for block in found.blocks)
    lent, have = Counter(), Counter()
    for block in lender.blocks:
        if block.mixer is not None:
            lent[type(block.mixer)] += block.repeat
    for block in found.blocks:
        have[type(block.mixer)] += block.repeat
    for kind, number in lent.items():
        assert have[kind] / arch.layers == pytest.approx(number / lent.total(), abs=2 / arch.layers)


def test_sparsity_counts_shared_experts():
    """V3: 8 of 256 routed and 1 shared, each 2048 wide in 7168."""
    found = sparsity(V3)
    assert found.activation == pytest.approx(9 / 257)
    assert found.granularity == 7
    assert sparsity(LLAMA).activation == 1
    assert any(isinstance(block.feed_forward, ExpertsSpec) for block in V3.blocks)


def test_too_small_a_size_is_a_sentence():
    with pytest.raises(UserError, match="cannot be made as small"):
        resized(LLAMA, 1e7)


def test_a_size_that_a_width_gives_exactly_has_that_width():
    own = count_architecture(LLAMA).total_params
    sizes = {
        (hidden, layers): count_architecture(_scaled(LLAMA, hidden, layers, 1.0)).total_params
        for hidden in range(4096, 12_288, 128)
        for layers in range(40, 90)
    }
    exact = {at: params for at, params in sizes.items() if round(LLAMA.layers * (params / own) ** (1 / 3)) == at[1]}
    assert len(exact) > 10
    for at, params in exact.items():
        found = resized(LLAMA, params)
        assert (found.hidden, found.layers) == at
        assert count_architecture(found).total_params == params
