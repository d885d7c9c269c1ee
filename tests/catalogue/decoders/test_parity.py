"""Parameters of other people's models, counted from config.json alone, against the modules that transformers builds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.decoders import architecture_of
from centime.catalogue.hf import to_hf
from centime.catalogue.models import from_config
from centime.catalogue.presets import preset
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture

# Modules beside the language model, in models of several kinds of input.
OTHERS = ("vision", "visual", "audio", "vq", "image", "multi_modal", "embed_vision", "mm_")
# One of every kind of layer: grouped and latent attention, windows, indexers, compression, experts of every routing,
# delta nets, Mamba 1 and 2 beside attention, short convolutions, LayerNorm with biases, learned positions.
KINDS = (
    *("llama", "deepseek_v3", "deepseek_v32", "deepseek_v4", "qwen3_moe", "qwen3_next", "qwen3_5_moe", "gpt_oss"),
    *("gemma3_text", "gemma4_unified_text", "kimi_linear", "glm_moe_dsa", "minimax_m2", "jamba", "bamba", "falcon_h1"),
    *("mamba", "mamba2", "lfm2_moe", "granitemoehybrid", "llama4_text", "ernie4_5_moe", "mixtral", "gpt2", "bloom"),
    *("mimo_v2_flash", "starcoder2", "olmoe", "nemotron_h", "gemma3n_text", "opt", "minicpm3", "laguna", "xglm"),
    *("minimax_m3_vl_text", "longcat_flash"),
)
# Whatever transformers computes that is not counted here is refused; these are what it must not come to.
COUNTED = 115


def built(kind: str, changes: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The config.json of a family's default model with `changes`, and the parameters that transformers gives it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(kind, **changes)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    raw = config.to_dict()
    # LongCat's experts that compute nothing have rows in transformers' stacked matrices, and none in any checkpoint.
    zero = 28 * raw.get("zero_expert_num", 0) * 2 * 2048 * 6144 if kind == "longcat_flash" else 0
    return raw, -zero + sum(
        parameter.numel() for name, parameter in model.named_parameters() if not any(other in name for other in OTHERS)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_those_that_transformers_builds(kind: str) -> None:
    changes: dict[str, Any] = {"layer_types": ["conv", "full_attention"] * 16} if kind == "lfm2_moe" else {}
    if kind == "lfm2_moe":
        changes |= {"num_hidden_layers": 32, "num_dense_layers": 2}
    raw, theirs = built(kind, changes)
    assert count_architecture(architecture_of(raw)).total_params == pytest.approx(theirs, rel=0.005)


def test_gemma_4_with_layers_inputs_and_shared_caches() -> None:
    sizes = {"num_hidden_layers": 35, "hidden_size": 1536, "intermediate_size": 6144, "num_attention_heads": 8}
    heads = {"num_key_value_heads": 1, "head_dim": 256, "global_head_dim": 512, "num_kv_shared_layers": 20}
    tables = {"vocab_size": 262144, "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256}
    types = {"layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7, "use_double_wide_mlp": True}
    raw, theirs = built("gemma4_text", sizes | heads | tables | types)
    found = count_architecture(architecture_of(raw))
    assert found.total_params == pytest.approx(theirs, rel=0.0005)
    assert found.active_params_without_embedding == pytest.approx(2.28e9, rel=0.005)  # "E2B"
    assert found.kv_elements_per_token == 3 * 2 * 512  # of 7 layers that see everything, 4 share


@pytest.mark.long
def test_every_family_of_transformers_is_counted_or_refused() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    counted, wrong = 0, {}
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        try:
            raw, theirs = built(kind, {})
        except Exception:
            continue
        try:
            ours = count_architecture(architecture_of(raw, where=kind)).total_params
        except UserError:
            continue
        counted += 1
        if ours != pytest.approx(theirs, rel=0.005):
            wrong[kind] = ours / theirs
    assert wrong == {}
    assert counted >= COUNTED


@pytest.mark.parametrize("name", ["deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "centime-d4", "centime-d6-mtp"])
def test_what_centime_builds_is_read_alike(name: str) -> None:
    """The way of plan, by config.json, and that of `model show`, by the model that is built."""
    ours = from_config(preset(name))
    read = architecture_of(to_hf(preset(name)))
    assert list(read.blocks) == list(ours.blocks)
    assert read.mtp_layers == ours.mtp_layers
    assert (read.hidden, read.vocab, read.tied, read.mtp_modules) == (
        ours.hidden,
        ours.vocab,
        ours.tied,
        ours.mtp_modules,
    )


SIZES = {
    "llama": ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"),
    "qwen3_moe": ("num_hidden_layers", "moe_intermediate_size", "num_local_experts", "intermediate_size"),
    "deepseek_v3": ("num_hidden_layers", "first_k_dense_replace", "n_routed_experts", "kv_lora_rank", "q_lora_rank"),
    "gemma3_text": ("num_hidden_layers", "sliding_window", "head_dim", "intermediate_size", "vocab_size"),
    "gpt_oss": ("num_hidden_layers", "num_local_experts", "intermediate_size", "head_dim", "vocab_size"),
    "qwen3_next": ("num_hidden_layers", "linear_num_value_heads", "shared_expert_intermediate_size", "num_experts"),
}


@pytest.mark.parametrize("kind", SIZES)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_odd_sizes_are_counted_as_well(kind: str, seed: int) -> None:
    """Each size of a family's own model at a half to one and a half times what it is, in units that divide."""
    transformers = pytest.importorskip("transformers")
    draw = random.Random(seed)
    default = transformers.AutoConfig.for_model(kind).to_dict()
    changes: dict[str, Any] = {}
    for name in SIZES[kind]:
        unit = {"num_hidden_layers": 4, "first_k_dense_replace": 1, "linear_num_value_heads": 16}.get(name, 8)
        least, most = max(1, default[name] // (2 * unit)), max(1, 3 * default[name] // (2 * unit))
        changes[name] = unit * draw.randint(least, most)
    changes["num_hidden_layers"] = min(changes["num_hidden_layers"], 12)
    if kind == "llama":
        changes["num_key_value_heads"] = changes["num_attention_heads"] // draw.choice((1, 2, 4, 8))
        changes["hidden_size"] = 16 * changes["num_attention_heads"] * draw.randint(1, 8)
    if kind == "deepseek_v3":
        changes["n_routed_experts"] = 8 * draw.randint(2, 32)
    raw, theirs = built(kind, changes)
    assert count_architecture(architecture_of(raw)).total_params == pytest.approx(theirs, rel=0.005)
