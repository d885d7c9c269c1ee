"""config.json of Llama, Mistral, Qwen2 and Qwen3, with the keys that their publishers write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from centime.catalogue.decoders import architecture_of
from centime.catalogue.hf.config import from_hf
from centime.catalogue.hf.family import family_of, to_hf
from centime.catalogue.model_config import Llama3Scaling, ModelConfig, YarnScaling
from centime.errors import UserError
from centime.plan.counts import count

# Keys and values of meta-llama/Llama-3.1-8B, Qwen/Qwen2.5-1.5B (its distillate by R1 too), Qwen/Qwen3-0.6B and
# mistralai/Mistral-7B-v0.1 and -v0.3; what says nothing of the computation is left out here and there.
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0",
    "use_cache": True,
    "vocab_size": 128256,
}
QWEN2: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "hidden_size": 1536,
    "initializer_range": 0.02,
    "intermediate_size": 8960,
    "max_position_embeddings": 131072,
    "max_window_layers": 21,
    "model_type": "qwen2",
    "num_attention_heads": 12,
    "num_hidden_layers": 28,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
MISTRAL: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "vocab_size": 32768,
}
PUBLISHED = {"llama": LLAMA, "qwen2": QWEN2, "qwen3": QWEN3}


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_files_are_read_and_written_under_their_own_name(family: str) -> None:
    config = from_hf(PUBLISHED[family])
    assert family_of(config) == family
    again = to_hf(config, "bfloat16")
    assert (again["model_type"], again["architectures"]) == (family, PUBLISHED[family]["architectures"])
    assert from_hf(again) == config


def test_what_they_say() -> None:
    llama, qwen2, qwen3 = (from_hf(raw) for raw in PUBLISHED.values())
    assert llama.rope_scaling == Llama3Scaling(rope_type="llama3")  # whose defaults are Llama 3.1's
    assert (llama.kv_heads, llama.v_head_dim, llama.qkv_bias, llama.qk_norm) == (8, 128, False, False)
    assert (qwen2.kv_heads, qwen2.v_head_dim, qwen2.qkv_bias, qwen2.out_bias) == (2, 128, True, False)
    assert (qwen3.kv_heads, qwen3.v_head_dim, qwen3.qkv_bias, qwen3.qk_norm) == (8, 128, False, True)
    assert not any(config.rope_interleave for config in (llama, qwen2, qwen3))


@pytest.mark.parametrize(
    ("raw", "parameters"), [(LLAMA, 8_030_261_248), (QWEN2, 1_777_088_000), (QWEN3, 596_049_920), (MISTRAL, None)]
)
def test_counts_are_those_of_the_published_weights(raw: dict[str, Any], parameters: int | None) -> None:
    """Elements of the safetensors of each (Llama-3.1-8B, DeepSeek-R1-Distill-Qwen-1.5B, Qwen3-0.6B), and the planner's
    own reading of the same file."""
    built, planned = count(from_hf(raw)), count(architecture_of(raw))
    assert built == planned
    assert parameters is None or built.total_params == parameters


def test_a_mistral_without_a_window_is_a_llama() -> None:
    config = from_hf(MISTRAL)
    assert family_of(config) == "llama"
    assert from_hf(to_hf(config)) == config
    within = MISTRAL | {"sliding_window": 4096, "max_position_embeddings": 4096}
    assert from_hf(within).max_position_embeddings == 4096


def test_rotary_settings_as_transformers_5_writes_them() -> None:
    raw = {key: value for key, value in LLAMA.items() if key not in ("rope_scaling", "rope_theta", "torch_dtype")}
    raw |= {"rope_parameters": {**LLAMA["rope_scaling"], "rope_theta": 500000.0}, "dtype": "bfloat16", "head_dim": 128}
    assert from_hf(raw) == from_hf(LLAMA)


def test_qwen_s_yarn() -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    found = from_hf(QWEN2 | {"rope_scaling": yarn}).rope_scaling
    assert found == YarnScaling(factor=4.0, original_max_position_embeddings=32768, mscale_all_dim=0.0)


@pytest.mark.parametrize(
    ("raw", "change", "says"),
    [
        (MISTRAL, {"sliding_window": 4096}, "sliding window of 4,096 tokens in a context of 32,768"),
        (QWEN2, {"use_sliding_window": True}, "sliding window"),
        (QWEN3, {"layer_types": ["chunked_attention"] * 28}, "chunked_attention"),
        (
            QWEN3,
            {
                "layer_types": ["full_attention", "sliding_attention"] * 14,
                "sliding_window": 64,
                "use_sliding_window": True,
            },
            "sliding window of 64",
        ),
        (LLAMA, {"hidden_size": 4097}, "not a multiple of num_attention_heads 32"),
        (LLAMA, {"num_key_value_heads": 5}, "num_attention_heads 32 is not a multiple of num_key_value_heads 5"),
        (LLAMA, {"mlp_bias": True}, "mlp_bias"),
        (LLAMA, {"attention_bias": 1}, "attention_bias is 1"),
        (MISTRAL, {"attention_bias": True}, "attention_bias"),
        (QWEN2, {"attention_bias": False}, "attention_bias"),
        (LLAMA, {"head_dim": 127}, "qk_rope_head_dim is 127"),
        (LLAMA, {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "without high_freq_factor"),
        (LLAMA, {"rope_scaling": LLAMA["rope_scaling"] | {"beta": 1.0}}, "unknown settings"),
        (LLAMA, {"rope_scaling": LLAMA["rope_scaling"] | {"high_freq_factor": 1.0}}, "not above low_freq_factor"),
        (LLAMA, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "scales by 'dynamic'; centime computes 'yarn'"),
        (LLAMA, {"n_routed_experts": 8}, "'n_routed_experts'"),
        (LLAMA, {"qk_norm": True}, "'qk_norm' = true"),
        (LLAMA, {"model_type": "gemma2"}, 'model_type "gemma2"; centime computes deepseek_v2.*llama.*qwen3.$'),
        (LLAMA, {"model_type": "qwen2_vl"}, "qwen2, qwen3.$"),
        (LLAMA, {"model_type": "lama"}, "Did you mean 'llama'"),
        (LLAMA, {"model_type": "mllama", "vision_config": {}}, "images or sounds"),
    ],
)
def test_what_would_compute_something_else_is_refused(raw: dict[str, Any], change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_hf({**raw, **change})


@pytest.mark.parametrize(("raw", "key"), [(MISTRAL, "num_key_value_heads"), (QWEN3, "head_dim")])
def test_what_readers_would_fill_in_is_asked_for(raw: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"does not say {key}"):
        from_hf({name: value for name, value in raw.items() if name != key})


@pytest.mark.parametrize(
    "change", [{"num_key_value_heads": 2}, {"qk_norm": True}, {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}]
)
def test_latent_attention_has_no_place_for_settings_of_plain_attention(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="latent attention"):
        ModelConfig(**change)


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 5).map(lambda half: 2 * half),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_a_model_comes_back_or_is_refused(kv_heads: int, group: int, head: int, switches: tuple[bool, ...]) -> None:
    config = ModelConfig(
        kv_lora_rank=None,
        qk_nope_head_dim=0,
        n_routed_experts=None,
        n_shared_experts=None,
        rope_interleave=False,
        num_attention_heads=kv_heads * group,
        num_key_value_heads=kv_heads if group > 1 else None,
        qk_rope_head_dim=head,
        v_head_dim=head,
        qkv_bias=switches[0],
        out_bias=switches[1],
        qk_norm=switches[2],
        tie_word_embeddings=switches[3],
    )
    llama = not config.qk_norm and config.qkv_bias == config.out_bias
    qwen2 = not config.qk_norm and config.qkv_bias and not config.out_bias
    if (config.qkv_bias != config.out_bias and not qwen2) or (
        llama and config.hidden_size % config.num_attention_heads
    ):
        with pytest.raises(UserError, match="No published family"):
            to_hf(config)
        return
    assert family_of(config) == ("llama" if llama else "qwen2" if qwen2 else "qwen3")
    assert from_hf(to_hf(config)) == config
