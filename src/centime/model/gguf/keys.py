"""The sizes of a model under llama.cpp's keys; the way back is `sizes.config_of`."""

from __future__ import annotations

import math
from typing import Any

from centime.catalogue.model_config import LinearScaling, Llama3Scaling, ModelConfig, YarnScaling
from centime.model.gguf.architecture import groups


def write_sizes(writer: Any, config: ModelConfig) -> None:
    """Adds them to a gguf.GGUFWriter of the model's architecture, block_count first."""
    import gguf

    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.qk_rope_head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    if config.kv_lora_rank is None:
        writer.add_head_count_kv(config.kv_heads)
        writer.add_key_length(config.qk_rope_head_dim)
        writer.add_value_length(config.v_head_dim)
    else:
        writer.add_head_count_kv(1)  # absorbed, all heads read one latent
        writer.add_q_lora_rank(config.q_lora_rank or 0)  # llama.cpp asks for it, and reads 0 as a plain query
        writer.add_kv_lora_rank(config.kv_lora_rank)
        writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        writer.add_value_length(config.kv_lora_rank)
        writer.add_key_length_mla(config.qk_nope_head_dim + config.qk_rope_head_dim)
        writer.add_value_length_mla(config.v_head_dim)
        _write_expert_sizes(writer, config)
    match config.rope_scaling:
        case YarnScaling() as yarn:
            _write_yarn(writer, config, yarn)
        case LinearScaling(factor=factor):
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(factor)
        case Llama3Scaling() as llama3:  # the factors of frequencies are a tensor; this says what they were made of
            writer.add_rope_scaling_orig_ctx_len(llama3.original_max_position_embeddings)


def _write_yarn(writer: Any, config: ModelConfig, yarn: YarnScaling) -> None:
    import gguf

    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(yarn.factor)
    writer.add_rope_scaling_orig_ctx_len(yarn.original_max_position_embeddings)
    writer.add_rope_scaling_yarn_beta_fast(yarn.beta_fast)
    writer.add_rope_scaling_yarn_beta_slow(yarn.beta_slow)
    per_slope = 0.1 * math.log(yarn.factor)
    if config.is_mla and yarn.mscale_all_dim:
        # 0.1 x the slope: llama.cpp divides by 0.1 again for this architecture.
        writer.add_rope_scaling_yarn_log_mul(0.1 * yarn.mscale_all_dim)
    else:
        # Without a slope llama.cpp scales rotated features by 0.1 ln(s) + 1; this factor turns that into ours.
        wanted = 1.0 if config.is_mla else per_slope * yarn.mscale + 1
        writer.add_rope_scaling_attn_factors(wanted / (per_slope + 1))


def _write_expert_sizes(writer: Any, config: ModelConfig) -> None:
    import gguf

    if config.n_routed_experts is None:
        writer.add_leading_dense_block_count(config.num_hidden_layers)
        writer.add_expert_feed_forward_length(config.intermediate_size)
        writer.add_expert_shared_count(0)
        return
    writer.add_leading_dense_block_count(min(config.first_k_dense_replace, config.num_hidden_layers))
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_shared_count(config.n_shared_experts or 0)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(config.norm_topk_prob and config.num_experts_per_tok > 1)
    kinds = gguf.ExpertGatingFuncType
    writer.add_expert_gating_func(kinds.SIGMOID if config.scoring_func == "sigmoid" else kinds.SOFTMAX)
    if groups(config) > 1:
        writer.add_expert_group_count(groups(config))
        writer.add_expert_group_used_count(config.topk_group or 1)
