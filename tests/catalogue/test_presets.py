"""Presets by name, the dial, and what a wrong name or field says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.presets import DEPTHS, catalogue_models, names, preset
from centime.errors import UserError


def test_deepseek_v3_is_v3() -> None:
    config = preset("deepseek-v3")
    assert (config.num_hidden_layers, config.n_routed_experts, config.num_experts_per_tok) == (61, 256, 8)
    assert (config.n_group, config.topk_group, config.topk_method) == (8, 4, "noaux_tc")
    assert config.rope_scaling is not None
    assert config.rope_scaling.factor == 40
    assert config.num_nextn_predict_layers == 1


def test_v2_routes_by_the_best_expert_of_a_group() -> None:
    assert preset("deepseek-v2").topk_method == "group_limited_greedy"
    assert preset("deepseek-v2-lite").topk_method == "greedy"
    assert preset("deepseek-v2-lite").q_lora_rank is None


@given(st.sampled_from(DEPTHS))
def test_the_dial_keeps_its_ratios(depth: int) -> None:
    config = preset(f"centime-d{depth}")
    assert config.hidden_size == config.num_attention_heads * config.v_head_dim
    active_width = (config.num_experts_per_tok + 1) * config.moe_intermediate_size
    assert config.intermediate_size == active_width
    assert all(size % 32 == 0 for size in (config.moe_intermediate_size, config.intermediate_size, config.vocab_size))


def test_mtp_and_overrides() -> None:
    assert preset("centime-d4-mtp").num_nextn_predict_layers == 1
    assert preset("centime-d4", vocab_size=512).vocab_size == 512
    assert preset("centime-d4-mtp", num_nextn_predict_layers=2).num_nextn_predict_layers == 2


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        ("deepseek-v9", {}, "Did you mean 'deepseek-v"),
        ("centime-d99", {}, "from 2 to 17"),
        ("centime-d4", {"hidden_sise": 3}, "'hidden_size'"),
        ("centime-d4", {"hidden_size": -3}, "hidden_size"),
        ("centime-d4", {"qk_rope_head_dim": 7}, "even"),
    ],
)
def test_mistakes_get_a_sentence(name: str, overrides: dict[str, int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        preset(name, **overrides)


def test_every_name_is_known() -> None:
    assert set(catalogue_models()) <= set(names())
    assert all(preset(name) for name in names())


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; from centime.catalogue.presets import preset; from centime.plan.counts import count;"
        "from centime.plan.counts.baseline import dense_baseline; count(dense_baseline(preset('centime-d4')));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
