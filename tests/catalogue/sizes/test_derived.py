"""Models from a few sizes: they come to what was stated, and to published models where these are described in full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.architecture import ExpertsSpec, LatentAttention, SoftmaxAttention
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture

NAMES = ("100M", "1B", "8B", "70B", "405B", "2B-A0.5B", "16B-A3B", "30B-A3B", "235B-A22B", "671B-A37B", "1T-A32B")


def stated(name: str) -> tuple[float, float]:
    total, _, active = name.partition("-A")
    scale = {"M": 1e6, "B": 1e9, "T": 1e12}
    return tuple(float(text[:-1]) * scale[text[-1]] for text in (total, active or total))  # type: ignore[return-value]


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_come_out_as_stated(name: str) -> None:
    found = count_architecture(architecture(name))
    total, active = stated(name)
    assert found.total_params == pytest.approx(total, rel=0.01)
    assert found.active_params == pytest.approx(active, rel=0.02)


@given(st.floats(0.5, 2000), st.floats(0.02, 0.5))
def test_any_mixture_comes_out_as_stated(total: float, share: float) -> None:
    """Or it is refused: of few active parameters a vocabulary leaves none."""
    name = f"{total:.3f}B-A{total * share:.3f}B"
    wanted = stated(name)
    try:
        found = count_architecture(architecture(name))
    except UserError:
        assert wanted[1] < 0.5e9
    else:
        assert found.total_params == pytest.approx(wanted[0], rel=0.05)
        assert found.active_params == pytest.approx(wanted[1], rel=0.2)


def test_a_published_shape_is_met() -> None:
    assert (architecture("8B").layers, architecture("8B").hidden) == (32, 4096)  # Llama 3 8B
    whole = architecture(
        "16B-A3B,layers=27,hidden=2048,heads=16,experts=64,topk=6,expert_width=1408,shared_width=2816,dense_layers=1,"
        "ffn=10944,vocab=102400,attention=mla"
    )
    published = architecture("deepseek-v2-lite")
    assert count_architecture(whole).total_params == pytest.approx(count_architecture(published).total_params, rel=1e-4)
    assert whole.blocks[1].mixer == published.blocks[1].mixer
    partly = architecture("671B-A37B,attention=mla,layers=61,hidden=7168,heads=128,experts=256,topk=8,dense_layers=3")
    part = partly.blocks[1].feed_forward
    assert isinstance(part, ExpertsSpec)
    assert part.width == pytest.approx(2048, rel=0.01)  # DeepSeek-V3's
    assert part.shared_width == pytest.approx(2048, rel=0.25)
    assert isinstance(partly.blocks[1].mixer, LatentAttention)


@pytest.mark.parametrize(
    ("sizes", "heads", "head_dim"),
    [
        ("", 32, 128),
        ("heads=64", 64, 64),  # all of the width
        ("heads=24", 24, 128),  # which does not divide it
        ("head_dim=64", 64, 64),
        ("heads=16,head_dim=256", 16, 256),
    ],
)
def test_heads_share_the_width_where_they_divide_it(sizes: str, heads: int, head_dim: int) -> None:
    mixer = architecture(f"layers=32,hidden=4096,{sizes},ffn=8192".replace(",,", ",")).blocks[0].mixer
    assert mixer == SoftmaxAttention(heads, 8, head_dim)


@pytest.mark.parametrize(("hidden", "heads", "head_dim"), [(1023, 16, 64), (1024, 8, 128), (512, 8, 64)])
def test_narrow_models_have_narrow_heads(hidden: int, heads: int, head_dim: int) -> None:
    mixer = architecture(f"layers=4,hidden={hidden},ffn=1024").blocks[0].mixer
    assert isinstance(mixer, SoftmaxAttention)
    assert (mixer.heads, mixer.head_dim) == (heads, head_dim)


def test_experts_with_their_router_come_as_near_to_the_total_as_a_whole_width_does() -> None:
    layers, hidden, experts = 32, 2048, 8192
    for total in range(190, 211, 2):
        arch = architecture(f"{total / 10}B,layers={layers},hidden={hidden},experts={experts},topk=64")
        step = 3 * layers * hidden * experts
        assert abs(count_architecture(arch).total_params - total * 1e8) <= 0.51 * step


def test_what_is_given_is_kept_and_the_rest_is_said() -> None:
    arch = architecture("16B-A3B,layers=27,hidden=2048,experts=64,topk=6")
    part = arch.blocks[0].feed_forward
    assert isinstance(part, ExpertsSpec)
    assert (arch.layers, arch.hidden, part.experts, part.top_k) == (27, 2048, 64, 6)
    assert list(arch.assumptions) == [
        "16 heads of 128 that share 8 key-value heads, assumed",
        "A vocabulary of 128,256, assumed",
        f"The best 6 of 64 experts of width {part.width:,}, assumed",
        f"A shared expert of width {part.shared_width:,} for what a token uses beside, assumed",
    ]
    all_given = architecture("layers=32,hidden=4096,heads=32,kv_heads=8,ffn=14336,vocab=128256")
    assert all_given.assumptions == ()
    assert all_given.blocks == architecture("llama-3.1-8b").blocks
    every_head = architecture("7B,attention=mha").blocks[0].mixer
    assert isinstance(every_head, SoftmaxAttention)
    assert every_head.heads == every_head.kv_heads
