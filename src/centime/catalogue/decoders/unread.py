"""What a config.json says that would change a size and that nothing here counts: refused by the name of its key."""

from __future__ import annotations

from centime.catalogue.decoders.keys import ConfigKeys, spaced
from centime.errors import UserError
from centime.json_files import brief

# What is counted nowhere: a key, and why a model that sets it is refused.
_NOT_COUNTED = {
    "is_encoder_decoder": "it is an encoder and a decoder, and only decoders are planned",
    "type_vocab_size": "it is an encoder, and only decoders are planned",
    "cross_attention_layers": "attention to another model's states is not counted",
    "num_mem_blocks": "blocks that several layers share are not counted",
    "depth_decoder_config": "a decoder within a decoder is not counted",
}
_FAMILIES_NOT_COUNTED = {"jetmoe": "experts of attention heads are not counted"}
# Numbers, lists and objects that say nothing of sizes, and switches that add vectors at most.
_HARMLESS = frozenset(
    {
        *("id2label", "label2id", "rope_parameters", "rope_scaling", "pretraining_tp", "quantization_config"),
        *("max_window_layers", "index_topk_freq", "qk_head_dim", "num_logits_to_keep", "rope_theta", "rotary_dim"),
        *("original_max_position_embeddings", "initial_context_length", "model_max_length", "seq_length", "auto_map"),
        *("max_seq_len", "conv_L_cache", "n_ctx", "n_positions", "max_length", "top_k", "ep_size", "logits_scaling"),
        *("chunk_size", "block_size", "mamba_chunk_size", "mamba_expand", "time_step_rank"),
        *( "mamba_conv_bias", "use_conv_bias", "mamba_norm_before_gate"),
        *("mlp_multipliers", "ssm_multipliers", "moe_renormalize", "use_expert_bias", "use_moe_router_bias", "use_mtp"),
        *("use_mamba_kernels", "no_rope_layers", "num_hash_layers", "qk_rope_head_dim", "query_pre_attn_scalar"),
        *("hc_sinkhorn_iters", "floor_scale", "index_share_for_mtp_iteration", "index_skip_topk_offset"),
        *("latent_moe_use_norm", "attn_res_block_size", "moe_shared_expert_overlap", "full_attn_idxs"),
        *("vocab_size_per_layer_input", "pruned_heads", "num_beams", "num_beam_groups", "num_return_sequences"),
        *("do_layer_norm_before", "layer_norm_elementwise_affine", "scale_emb", "dim_model_base", "mla_scale_q_lora"),
        *("mla_scale_kv_lora",),
        *("attention_types", "enable_moe_fp32_combine", "linear_allow_neg_eigval"),
    }
)  # fmt: skip
_HARMLESS_ENDS = ("token_id", "token_ids", "token_index", "position_embeddings", "eps", "theta", "limit")
# Parts of a switch's name, or of a list's, that speak of a size or a kind of layer.
_TELLING = frozenset(
    {
        *("rank", "lora", "ssm", "mamba", "conv", "state", "states", "expert", "experts", "moe", "sparse", "index"),
        *("compress", "latent", "mtp", "nextn", "kv", "heads", "intermediate", "ffn", "layers", "layer", "blocks"),
        *("block", "linear", "recurrent", "memory", "group", "groups", "hash", "delta", "window", "streams", "types"),
    }
)  # fmt: skip
# What layer_types has said already, where it stands in the same file.
_SAID_BY_LAYERS = frozenset({"window", "pattern", "period", "interval", "global", "every", "indices", "offset"})
# Feed-forwards that are known to have a gate, or none (feed_forwards.UNGATED), by their family.
_OTHER_ACTIVATIONS = frozenset(
    {
        *("gemma", "gemma2", "gemma3", "gemma4", "gemma4_unified", "vaultgemma", "bitnet", "kimi_linear", "stablelm"),
        *("minimax_m3", "minimax_m3_vl", "gpt_oss", "phimoe", "modernbert-decoder", "gemma3n"),
    }
)  # fmt: skip


def refuse_uncounted(keys: ConfigKeys) -> None:
    """Raises UserError on a model that has a part which is counted nowhere."""
    for key, why in _NOT_COUNTED.items():
        if keys.get(key):
            raise UserError(f"{keys.where} sets {keys.within}{key}: {why}.")
    family = keys.text("model_type")
    if family in _FAMILIES_NOT_COUNTED:
        raise UserError(f"{keys.where}: model_type is {family!r}: {_FAMILIES_NOT_COUNTED[family]}.")


def refuse_unread(keys: ConfigKeys, family: str, ungated: bool) -> None:
    """Raises UserError on the first key that may change a size and that nobody asked for.

    ungated: whether `family` is known to have feed-forwards without a gate. An activation that is not SiLU says nothing
    about that where the family is not known.
    """
    listed = bool(keys.words("layer_types"))
    for key, value in keys.raw.items():
        parts = set(spaced(key))
        if key in keys.used | _HARMLESS or key.endswith(_HARMLESS_ENDS) or (listed and parts & _SAID_BY_LAYERS):
            continue
        counted = isinstance(value, int) and not isinstance(value, bool) and value > 1
        telling = bool(_TELLING & parts) and (value is True or (isinstance(value, list) and bool(value)))
        if counted or telling or (isinstance(value, list) and any(isinstance(one, int) for one in value)):
            raise UserError(
                f"{keys.where}: {keys.within}{key} is {brief(value)}, which may change a size and is not counted. "
                "Describe the model as a row of models.csv in the folder that `centime doctor` names."
            )
    act = keys.get("hidden_act", "hidden_activation", "activation_function")
    if not ungated and act not in (None, "silu", "swish", "swiglu") and family not in _OTHER_ACTIVATIONS:
        raise UserError(
            f"{keys.where}: {keys.within}hidden_act is {brief(act)}, which does not say whether the feed-forward of "
            f"{family!r} has a gate. Describe the model as a row of models.csv in the folder that `centime doctor` "
            "names."
        )
