"""The counts against published figures, against a model's own parameters, and against the FLOPs PyTorch counts."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from centime.catalogue.model_config import ModelConfig
from centime.catalogue.presets import names, preset
from centime.errors import UserError
from centime.model import Transformer
from centime.ops.attention import causal_attention_reference
from centime.ops.routed_experts import routed_experts_reference
from centime.plan.counts import count
from centime.plan.counts.baseline import dense_baseline
from centime.plan.counts.config import ModuleParameters

PUBLISHED = {
    # name: total, active, active without the input embedding (billions), KV bytes, training GFLOP per token
    "deepseek-v2-lite": (15.706, 2.66, 2.45, 31_104, None),
    "deepseek-v2": (235.741, 21.38, None, 69_120, 155),
    "deepseek-v3": (671.026, 37.55, 36.63, 70_272, 249.7),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    total, active, without_embedding, kv_bytes, gflop = PUBLISHED[name]
    counts = count(preset(name))
    assert counts.total_params / 1e9 == pytest.approx(total, abs=6e-4)
    assert counts.active_params / 1e9 == pytest.approx(active, abs=6e-3)
    if without_embedding:
        assert counts.active_params_without_embedding / 1e9 == pytest.approx(without_embedding, abs=6e-3)
    assert counts.kv_bytes_per_token == kv_bytes
    if gflop:
        assert counts.train_flops_per_token / 1e9 == pytest.approx(gflop, rel=5e-3)


def test_v3_mtp() -> None:
    counts = count(preset("deepseek-v3"))
    assert counts.train_flops_per_token_with_mtp / 1e9 == pytest.approx(260.0, rel=5e-3)
    assert counts.mtp_params / 1e9 == pytest.approx(11.61, abs=6e-3)


def test_bench_convention() -> None:
    """The training bench's own figures for its shape: 7.08 M active matmul parameters, 51.4 MFLOP at 256 tokens."""
    bench = ModelConfig(kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32)
    counts = count(bench, sequence_length=256)
    attention = 6 * 8 * 48 * 256 + 6 * 256 * 80 + 6 * 64 * 8 * 64 + 6 * 8 * 32 * 256
    feed_forward = 3 * 256 * 1024 + 5 * (3 * 256 * 256 * 5 + 256 * 16)
    products = attention + feed_forward + 4096 * 256
    assert counts.active_matmul_params == products
    assert counts.train_flops_per_token == 6 * products + 3 * 256 * 6 * 8 * 80
    assert counts.train_flops_per_token / 1e6 == pytest.approx(51.4, abs=0.05)


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    sizes = st.integers(1, 5).map(lambda n: 4 * n)
    layers = draw(st.integers(1, 4))
    groups = draw(st.sampled_from([1, 2]))
    config = {
        "vocab_size": draw(sizes),
        "hidden_size": draw(sizes),
        "num_hidden_layers": layers,
        "num_attention_heads": draw(st.integers(1, 3)),
        "qk_rope_head_dim": draw(sizes),
        "intermediate_size": draw(sizes),
        "moe_intermediate_size": draw(sizes),
        "n_routed_experts": draw(st.sampled_from([None, 2 * groups, 4 * groups])),
        "n_shared_experts": draw(st.sampled_from([None, 0, 1, 2])),
        "num_experts_per_tok": draw(st.integers(1, 2)),
        "first_k_dense_replace": draw(st.integers(0, layers)),
        "moe_layer_freq": draw(st.integers(1, 2)),
        "topk_method": draw(st.sampled_from(["greedy", "group_limited_greedy", "noaux_tc"])),
        "n_group": groups,
        "num_nextn_predict_layers": draw(st.integers(0, 2)),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if draw(st.booleans()):
        config |= {"kv_lora_rank": draw(sizes), "qk_nope_head_dim": draw(sizes), "v_head_dim": draw(sizes)}
        config["q_lora_rank"] = draw(st.sampled_from([None, 8]))
    else:
        config |= {"kv_lora_rank": None, "qk_nope_head_dim": 0, "v_head_dim": config["qk_rope_head_dim"]}
    return ModelConfig(**config)


@settings(max_examples=60, deadline=None)
@given(configs())
def test_counts_are_the_model_s_own(config: ModelConfig) -> None:
    with torch.device("meta"):
        model = Transformer(config)
    held = {name: tensor.numel() for name, tensor in model.state_dict().items()}
    mtp = sum(size for name, size in held.items() if name.startswith("mtp."))
    counts = count(config)
    assert counts.mtp_params == mtp
    assert counts.total_params == sum(held.values()) - mtp
    parts = dict(counts.parts)
    beside = parts.pop("MTP modules", ModuleParameters())
    assert (beside.total, beside.active) == (counts.mtp_params, counts.mtp_active_params)
    assert (beside.matmul > 0) is (config.num_nextn_predict_layers > 0)
    assert sum(part.total for part in parts.values()) == counts.total_params


@pytest.mark.parametrize("overrides", [{}, {"q_lora_rank": 24}, {"n_shared_experts": 0, "first_k_dense_replace": 0}])
def test_forward_flops_are_what_pytorch_counts(overrides: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own counter, on the plain references (fast paths pad), finds the same products."""
    monkeypatch.setattr("centime.model.attention.causal_attention", causal_attention_reference)
    monkeypatch.setattr("centime.model.experts.routed_experts", routed_experts_reference)
    config = preset("centime-d2", n_routed_experts=8, num_experts_per_tok=3, **overrides)
    S = 16
    model = Transformer(config)
    model.init_weights(0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.arange(S)[None])
    counts = count(config, sequence_length=S)
    products = 2 * counts.active_matmul_params
    square = 2 * (counts.forward_flops_per_token - products)  # the reference masks half of all pairs afterwards
    assert counter.get_total_flops() / S == products + square


def test_active_is_less_than_total_and_grows_with_depth() -> None:
    ours = [count(preset(name)) for name in names() if name.startswith("centime-d")]
    assert all(one.active_params < one.total_params for one in ours)
    assert all(one.total_params < next_.total_params for one, next_ in itertools.pairwise(ours))
    assert 1.9e6 < ours[0].total_params < 2.5e6
    assert 0.9e9 < ours[-1].total_params < 1.1e9


@pytest.mark.parametrize("name", ["centime-d2", "centime-d4", "centime-d9", "centime-d4-mtp", "deepseek-v2-lite"])
@pytest.mark.parametrize("sequence", [256, 2048])
def test_dense_baseline_spends_the_same(name: str, sequence: int) -> None:
    config = preset(name)
    dense = dense_baseline(config, sequence)
    assert dense.n_routed_experts is None
    assert not dense.is_mla
    spent, target = (count(one, sequence).train_flops_per_token for one in (dense, config))
    assert spent == pytest.approx(target, rel=0.03)
    assert count(dense, sequence).kv_bytes_per_token > count(config, sequence).kv_bytes_per_token


def test_dense_baseline_refuses_what_attention_alone_exceeds() -> None:
    narrow = preset("centime-d4", v_head_dim=4, qk_nope_head_dim=2, qk_rope_head_dim=2)
    with pytest.raises(UserError, match="shorter sequence"):
        dense_baseline(narrow, 200_000)
