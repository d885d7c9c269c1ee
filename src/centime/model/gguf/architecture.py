"""Which of llama.cpp's architectures computes a model, and what of it none does."""

from __future__ import annotations

from centime.catalogue.model_config import Llama3Scaling, ModelConfig, YarnScaling
from centime.errors import UserError
from centime.model.attention import LATENT_NORM_EPS

ARCHITECTURES = ("deepseek2", "llama", "qwen2", "qwen3")
IN_PAIRS = ("deepseek2", "llama")  # those in which llama.cpp rotates (2i, 2i+1); in the others (i, i + R/2)


def architecture_of(config: ModelConfig) -> str:
    """The architecture by its parts, whether or not it computes all of the model."""
    if config.is_mla:
        return "deepseek2"
    if config.qk_norm:
        return "qwen3"
    return "qwen2" if config.qkv_bias and not config.out_bias else "llama"


def check(config: ModelConfig) -> list[str]:
    """UserError for what llama.cpp (2026) cannot compute; sentences for what it computes otherwise."""
    yarn, experts = config.rope_scaling, config.n_routed_experts is not None
    depth = config.num_hidden_layers
    if not config.is_mla:
        _check_plain(config)
    if experts and config.moe_layer_freq != 1:
        raise UserError(
            f"llama.cpp has experts in every layer after the dense ones; moe_layer_freq is {config.moe_layer_freq}."
        )
    if experts and not config.shared_width:
        raise UserError("llama.cpp's deepseek2 always has a shared expert; this model has none.")
    if config.is_mla and not config.qk_nope_head_dim:
        raise UserError("llama.cpp's deepseek2 needs a part of each head without rotation; qk_nope_head_dim is 0.")
    if config.is_mla and isinstance(yarn, YarnScaling) and yarn.mscale != yarn.mscale_all_dim:
        raise UserError(
            f"llama.cpp takes one YaRN slope for features and softmax; this model has mscale {yarn.mscale} and "
            f"mscale_all_dim {yarn.mscale_all_dim}."
        )
    if config.is_mla and config.q_lora_rank is not None and depth in (26, 27):
        raise UserError(f"llama.cpp takes a deepseek2 of {depth} layers for V2-Lite, which has no q_lora_rank.")
    if config.is_mla and config.rms_norm_eps != LATENT_NORM_EPS:
        raise UserError(
            f"llama.cpp norms latents with rms_norm_eps, {config.rms_norm_eps:g} in this model, and DeepSeek's code "
            f"with {LATENT_NORM_EPS:g}, as this model was trained."
        )
    notes = []
    if experts and config.topk_method == "group_limited_greedy" and groups(config) > 1:
        notes.append(
            "llama.cpp ranks a group of experts by the sum of its two best, as V3 does; this model, like V2, by its "
            "best one. Where they disagree, tokens visit other experts."
        )
    if config.num_nextn_predict_layers:
        notes.append("The MTP modules are left out; llama.cpp decodes this model without them.")
    return notes


def _check_plain(config: ModelConfig) -> None:
    architecture = architecture_of(config)
    if config.n_routed_experts is not None:
        raise UserError("llama.cpp has no plain attention with DeepSeek's experts; only MLA models have them.")
    if architecture not in IN_PAIRS and config.rope_interleave:
        raise UserError(f"llama.cpp's {architecture} rotates heads in halves; rope_interleave is true.")
    if architecture != "llama" and isinstance(config.rope_scaling, Llama3Scaling):
        raise UserError(f"llama.cpp's {architecture} has no 'llama3' scaling of positions; its llama has.")
    if architecture == "qwen3" and (config.qkv_bias or config.out_bias):
        raise UserError("llama.cpp's qwen3 has no biases of attention; this model has some.")
    if architecture == "qwen2" and config.num_attention_heads * config.v_head_dim != config.hidden_size:
        raise UserError("llama.cpp's qwen2 needs heads x head size = hidden size.")


def groups(config: ModelConfig) -> int:
    """Groups that restrict a token's choice; 1 where all are open."""
    groups, kept = config.n_group or 1, config.topk_group or 1
    return 1 if config.topk_method == "greedy" or kept == groups else groups
