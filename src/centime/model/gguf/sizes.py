"""The sizes that a GGUF file states, as a ModelConfig: the way back of what `export` writes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError

from centime.catalogue.hf import explain
from centime.catalogue.model_config import LinearScaling, Llama3Scaling, ModelConfig, RopeScaling, YarnScaling
from centime.errors import UserError
from centime.model.gguf.architecture import ARCHITECTURES
from centime.model.gguf.tensors import ROPE_FACTORS, rope_factors

_SOFTMAX, _SIGMOID = 1, 2  # llama.cpp's expert_gating_func
_YARN = {
    "factor": "factor",
    "original_context_length": "original_max_position_embeddings",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
}


def config_of(fields: Mapping[str, Any], tensors: Mapping[str, Any], where: str) -> ModelConfig:
    """`tensors`: the file's by name, which say by their presence what is tied and biased. `where` names the file in a
    UserError.
    """
    architecture = fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UserError(f"{where} is of architecture {architecture!r}; centime reads {', '.join(ARCHITECTURES)}.")

    def size(key: str, default: Any = None) -> Any:
        found = fields.get(f"{architecture}.{key}", default)
        if found is None:
            raise UserError(f"{where} does not say {architecture}.{key}; a model needs it.")
        return found

    heads = size("attention.head_count")
    stated: dict[str, Any] = {
        "vocab_size": size("vocab_size", len(fields.get("tokenizer.ggml.tokens", ()))),
        "hidden_size": size("embedding_length"),
        "num_hidden_layers": size("block_count"),
        "num_attention_heads": heads,
        "intermediate_size": size("feed_forward_length"),
        "rms_norm_eps": _short(size("attention.layer_norm_rms_epsilon")),
        "rope_theta": _short(size("rope.freq_base", 10000.0)),
        "max_position_embeddings": size("context_length"),
        "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "n_routed_experts": None,
        "rope_scaling": _scaling(fields, architecture, where),
    }
    if architecture != "deepseek2":
        stated |= _plain_attention(stated, size, architecture, tensors, where)
    else:
        rotated = size("rope.dimension_count")
        stated |= {
            "kv_lora_rank": size("attention.kv_lora_rank"),
            "q_lora_rank": fields.get("deepseek2.attention.q_lora_rank") or None,
            "qk_rope_head_dim": rotated,
            "qk_nope_head_dim": size("attention.key_length_mla") - rotated,
            "v_head_dim": size("attention.value_length_mla"),
        }
        if fields.get("deepseek2.expert_count"):
            stated |= _experts(fields)
    try:
        config = ModelConfig(**stated)
    except ValidationError as error:
        raise UserError(explain(error, where)) from None
    return _with_factors(config, tensors, fields.get(f"{architecture}.rope.scaling.original_context_length"), where)


def _plain_attention(
    stated: Mapping[str, Any], size: Callable[..., Any], architecture: str, tensors: Mapping[str, Any], where: str
) -> dict[str, Any]:
    if size("expert_count", 0):
        raise UserError(f"{where} has experts and plain attention, which centime does not compute.")
    heads = stated["num_attention_heads"]
    kv_heads = size("attention.head_count_kv", heads)
    head = size("attention.key_length", stated["hidden_size"] // heads)
    if size("attention.value_length", head) != head or size("rope.dimension_count", head) != head:
        raise UserError(f"{where} has keys of {head} numbers, and values or a rotated part of another size.")
    return {
        "kv_lora_rank": None,
        "qk_nope_head_dim": 0,
        "qk_rope_head_dim": head,
        "v_head_dim": head,
        "num_key_value_heads": None if kv_heads == heads else kv_heads,
        "qkv_bias": "blk.0.attn_q.bias" in tensors,
        "out_bias": "blk.0.attn_output.bias" in tensors,
        "qk_norm": architecture == "qwen3",
        "rope_interleave": False,
    }


def _with_factors(config: ModelConfig, tensors: Mapping[str, Any], original: Any, where: str) -> ModelConfig:
    """With Llama 3's scaling, where the file's factors of frequencies are those that it gives; others are refused.

    llama.cpp's converter writes the factors alone: the largest is the scaling's, the rest are Llama 3.1's settings.
    """
    if ROPE_FACTORS not in tensors:
        return config
    found = torch.from_numpy(tensors[ROPE_FACTORS].data).float()
    scaling = {"rope_type": "llama3", "factor": round(float(found.max()), 4)}
    scaling |= {"original_max_position_embeddings": int(original)} if original else {}
    with contextlib.suppress(ValidationError):
        scaled = ModelConfig.model_validate(config.model_dump() | {"rope_scaling": scaling})
        assert isinstance(scaled.rope_scaling, Llama3Scaling)
        made = rope_factors(scaled, scaled.rope_scaling)
        if config.rope_scaling is None and made.shape == found.shape and torch.allclose(made, found, rtol=1e-3):
            return scaled
    raise UserError(f"{where} scales single frequencies ({ROPE_FACTORS}) otherwise than Llama 3 does; not read.")


def _experts(fields: Mapping[str, Any]) -> dict[str, Any]:
    def size(key: str, default: Any = None) -> Any:
        return fields.get(f"deepseek2.{key}", default)

    softmax, groups = size("expert_gating_func", _SOFTMAX) != _SIGMOID, size("expert_group_count", 1)
    softmax_method = "greedy" if groups == 1 else "group_limited_greedy"
    return {
        "n_routed_experts": size("expert_count"),
        "num_experts_per_tok": size("expert_used_count"),
        "n_shared_experts": size("expert_shared_count", 0),
        "moe_intermediate_size": size("expert_feed_forward_length"),
        "first_k_dense_replace": size("leading_dense_block_count", 0),
        "routed_scaling_factor": _short(size("expert_weights_scale", 1.0)),
        "norm_topk_prob": bool(size("expert_weights_norm", False)),
        "scoring_func": "softmax" if softmax else "sigmoid",
        "topk_method": softmax_method if softmax else "noaux_tc",
        "n_group": groups,
        "topk_group": size("expert_group_used_count", groups),
    }


def _scaling(fields: Mapping[str, Any], architecture: str, where: str) -> RopeScaling | None:
    """The slopes of YaRN follow from what `keys` makes of them."""
    scaling = f"{architecture}.rope.scaling"
    kind = fields.get(f"{scaling}.type", "none")
    if kind == "none":
        return None
    if kind == "linear" and architecture != "deepseek2":
        return LinearScaling(rope_type="linear", factor=_short(fields[f"{scaling}.factor"]))
    if kind != "yarn":
        raise UserError(f"{where} stretches positions by {kind!r}; centime computes YaRN.")
    stated = {ours: fields[f"{scaling}.{key}"] for key, ours in _YARN.items() if f"{scaling}.{key}" in fields}
    stated = {name: _short(value) if isinstance(value, float) else value for name, value in stated.items()}
    per_slope = 0.1 * math.log(stated["factor"])
    if multiplier := fields.get(f"{scaling}.yarn_log_multiplier"):
        slope = _short(multiplier / 0.1)
        return YarnScaling(**stated, mscale=slope, mscale_all_dim=slope)
    magnitude = fields.get(f"{scaling}.attn_factor", 1.0) * (per_slope + 1)
    slope = _short((magnitude - 1) / per_slope) if per_slope else 0.0
    return YarnScaling(**stated, mscale=0.0 if abs(slope) < 1e-6 else slope, mscale_all_dim=0.0)


def _short(number: float) -> float:
    """A float32 as a person wrote it: 1e-06 for 9.99999997e-07."""
    return float(f"{number:.6g}")
