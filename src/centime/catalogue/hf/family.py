"""ModelConfig to config.json: the family whose published code computes a model, or why none does.

What is written is what transformers (5.17 and later) computes from it, to the last setting: a model of centime's must
answer the same wherever its folder is opened. Its limits, each checked here: V3's router has sigmoid scores, the
correction bias and groups of at least two experts; V2's has softmax scores, gates that are not normalised, and hidden
sizes that the heads divide; neither has moe_layer_freq. Plain attention is rotated in halves: Llama's, with biases on
queries, keys and values alone Qwen2's, with norms of heads Qwen3's. A Mistral computes what a Llama does, and is
written as one.
"""

from __future__ import annotations

import math
from typing import Any

from centime.catalogue.hf.config import DEEPSEEK_ONLY, OWN_NAMES
from centime.catalogue.hf.plain_attention import PLAIN
from centime.catalogue.model_config import ModelConfig, RopeScaling, YarnScaling
from centime.errors import UserError

_ARCHITECTURES = {
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


def family_of(config: ModelConfig) -> str:
    """The model_type whose published code computes `config`.

    Raises UserError naming the setting that no family computes: such a model could be trained, and never be opened
    anywhere else.
    """
    experts = has_experts(config)
    if not config.is_mla:
        family = "qwen3" if config.qk_norm else "qwen2" if config.qkv_bias and not config.out_bias else "llama"
        why = _not_plain(config, family, experts)
    elif not experts:
        family, why = "deepseek_v3", ""  # whose attention takes either order of rotation
    elif config.scoring_func == "softmax":
        family, why = "deepseek_v2", _not_v2(config)
    else:
        family, why = "deepseek_v3", _not_v3(config)
    if not why and experts and config.moe_layer_freq != 1 and _skips_layers(config):
        why = (
            f"moe_layer_freq is {config.moe_layer_freq}, and every layer after the dense ones has experts there; set 1"
        )
    if why:
        raise UserError(f"No published family computes this model; the nearest is {family}, but {why}.")
    return family


def has_experts(config: ModelConfig) -> bool:
    """Whether any layer, of the decoder or of an MTP module, routes to experts."""
    last = config.num_hidden_layers + config.num_nextn_predict_layers
    return config.n_routed_experts is not None and config.first_k_dense_replace < last


def _skips_layers(config: ModelConfig) -> bool:
    routed = range(min(config.first_k_dense_replace, config.num_hidden_layers), config.num_hidden_layers)
    return not all(config.layer_has_experts(layer) for layer in routed)


def _not_plain(config: ModelConfig, family: str, experts: bool) -> str:
    heads = config.num_attention_heads
    if experts:
        return "attention is plain (kv_lora_rank is none) and there are experts; give kv_lora_rank, or no experts"
    if config.num_nextn_predict_layers:
        return (
            f"num_nextn_predict_layers is {config.num_nextn_predict_layers} with plain attention, which has no MTP "
            "modules there; set 0"
        )
    if config.rope_interleave:
        return "rope_interleave is true with plain attention, whose heads are rotated in halves there; set false"
    if family != "qwen2" and config.qkv_bias != config.out_bias:
        return "one of qkv_bias and out_bias is true, which are one setting there; set both, or neither"
    if family == "llama" and config.hidden_size % heads:
        return f"hidden_size {config.hidden_size} must be a multiple of num_attention_heads {heads} there"
    return ""


def _not_v2(config: ModelConfig) -> str:
    heads = config.num_attention_heads
    if config.topk_method == "noaux_tc":
        return "scoring_func is softmax with topk_method noaux_tc; take sigmoid, or greedy or group_limited_greedy"
    if config.norm_topk_prob and config.num_experts_per_tok > 1:
        return "scoring_func is softmax with norm_topk_prob, which it does not compute; set norm_topk_prob to false"
    if not config.rope_interleave:
        return "rope_interleave is false with softmax routing, whose heads are rotated in pairs there; set true"
    if config.qk_nope_head_dim % 2 or (config.kv_lora_rank or 0) % 2:
        odd = "qk_nope_head_dim" if config.qk_nope_head_dim % 2 else "kv_lora_rank"
        return f"{odd} is odd, which its rotation of complex numbers cannot take in float32; make it even"
    if config.hidden_size % heads:
        return f"hidden_size {config.hidden_size} must be a multiple of num_attention_heads {heads} there"
    return ""


def _not_v3(config: ModelConfig) -> str:
    if config.topk_method != "noaux_tc":
        return f"scoring_func is sigmoid with topk_method {config.topk_method}; take noaux_tc, or softmax"
    if (config.n_routed_experts or 0) // (config.n_group or 1) < 2:
        return "n_routed_experts / n_group is 1, and a group there is ranked by its two best experts; take more experts"
    return ""


def to_hf(config: ModelConfig, dtype: str = "float32") -> dict[str, Any]:
    """The config.json of `config`, with `dtype` ('bfloat16', 'float32') as its weights' type. Inverse of `from_hf`.

    Raises UserError where no family computes it.
    """
    family = family_of(config)
    raw: dict[str, Any] = {"architectures": [_ARCHITECTURES[family]], "model_type": family}
    raw |= config.model_dump(exclude={"rope_scaling", *OWN_NAMES, *(DEEPSEEK_ONLY if family in PLAIN else ())})
    raw |= {"num_key_value_heads": config.kv_heads, "hidden_act": "silu", "attention_bias": config.qkv_bias}
    raw |= {"torch_dtype": dtype, "use_cache": True}
    raw["rope_scaling"] = None if config.rope_scaling is None else _scaling(config.rope_scaling, family)
    if family in PLAIN:
        raw["head_dim"] = config.v_head_dim
        return raw
    raw["n_shared_experts"] = config.n_shared_experts or 0  # transformers wants numbers here, and null in neither
    if not has_experts(config):
        layers = config.num_hidden_layers + config.num_nextn_predict_layers
        raw |= {"n_routed_experts": 1, "first_k_dense_replace": layers}
        for name in ("scoring_func", "topk_method", "n_group", "topk_group"):
            del raw[name]  # they route nothing; the family's own stand for them
        return raw
    raw["moe_layer_freq"] = 1
    raw["norm_topk_prob"] = config.norm_topk_prob and config.num_experts_per_tok > 1
    if config.topk_method != "greedy":
        raw |= {"n_group": config.n_group or 1, "topk_group": config.topk_group or 1}
    return raw


def _scaling(scaling: RopeScaling, family: str) -> dict[str, Any]:
    raw: dict[str, Any] = {"type": scaling.rope_type, **scaling.model_dump()}
    if not isinstance(scaling, YarnScaling):
        return raw
    per_slope = 0.1 * math.log(scaling.factor)
    if family in PLAIN:
        # Every dimension is rotated, so scaling features by a scales the scores by a^2: one number says it all.
        raw["attention_factor"] = per_slope * scaling.mscale + 1
        del raw["mscale"], raw["mscale_all_dim"]
    elif not (scaling.mscale and scaling.mscale_all_dim):
        # Of a slope that is 0 transformers makes 1; this number is what DeepSeek's code makes of the two.
        raw["attention_factor"] = (per_slope * scaling.mscale + 1) / (per_slope * scaling.mscale_all_dim + 1)
    return raw
