"""config.json of the DeepSeek-V2 and V3 families and of Llama's dense decoder, to ModelConfig and back.

Reads what DeepSeek publishes and what transformers 5 writes (it moves the rotary settings into `rope_parameters`,
drops `scoring_func` and V3's `topk_method`, and adds sizes that follow from others). A key that could change the
computation and that centime does not know is an error: a model that loads computes what its authors meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.errors import UserError, nearest

# What a config.json leaves unsaid, by family: the routing that the family's code applies (V2 and V3 reports, 2.1.2).
_COMMON = {"moe_layer_freq": 1, "num_nextn_predict_layers": 0, "rope_interleave": True, "tie_word_embeddings": False}
_FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek_v2": _COMMON | {"scoring_func": "softmax", "topk_method": "greedy", "norm_topk_prob": False},
    "deepseek_v3": _COMMON | {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": True},
    "llama": _COMMON
    | {"n_routed_experts": None, "n_shared_experts": None, "kv_lora_rank": None, "rope_interleave": False},
}
_ARCHITECTURES = {
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "llama": "LlamaForCausalLM",
}

# A config.json must say these itself: a default of centime's would be a guess at someone else's model.
_SIZES = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "rms_norm_eps"]
_DEEPSEEK_SIZES = ["kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_routed_experts"]
_EXPERT_SIZES = [
    "moe_intermediate_size", "num_experts_per_tok", "n_shared_experts", "first_k_dense_replace", "routed_scaling_factor"
]  # fmt: skip

# Other names for the same thing.
_ALIASES = {
    "num_mtp_layers": "num_nextn_predict_layers",
    "num_local_experts": "n_routed_experts",
    "num_experts": "n_routed_experts",
}

# Settings that would change the computation, and the only value that centime's model computes.
_FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "attention_dropout": (0, None),
    "partial_rotary_factor": (1, None),
    "sliding_window": (None,),
    "pretraining_tp": (0, 1, None),
}

# Keys that say nothing about what is computed, or only about balance losses, which a recipe states.
_IRRELEVANT = frozenset(
    {
        "_name_or_path", "architectures", "auto_map", "aux_loss_alpha", "bad_words_ids", "dtype", "ep_size", "id2label",
        "label2id", "model_type", "output_attentions", "output_hidden_states", "output_router_logits", "pad_token_id",
        "problem_type", "return_dict", "router_aux_loss_coef", "seq_aux", "tokenizer_class", "torch_dtype",
        "transformers_version", "unk_token_id", "use_cache",
        # read apart, below
        "head_dim", "num_key_value_heads", "qk_head_dim", "quantization_config", "rope_parameters", "rope_scaling",
    }
)  # fmt: skip


def model_folder(path: Path) -> Path:
    """`path` itself, or the model/ inside it when `path` is a finished run's folder."""
    inside = path / "model"
    return inside if not (path / "config.json").is_file() and (inside / "config.json").is_file() else path


def read(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The configuration in `folder`/config.json, and that file as it stands. Raises UserError."""
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no config.json; a model is a Hugging Face folder with config.json and .safetensors files."
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); copy it again from the model's source.") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds a {type(raw).__name__}; expected a JSON object with the model's settings.")
    return from_hf(raw, str(path)), raw


def from_hf(raw: Mapping[str, Any], where: str = "config.json") -> ModelConfig:
    """The ModelConfig that a config.json's content describes. `where` names the file in a UserError."""
    family = raw.get("model_type")
    if family not in _FAMILIES:
        raise UserError(
            f"{where} says model_type {family!r}; centime computes {', '.join(_FAMILIES)}."
            f"{nearest(str(family), _FAMILIES)}"
        )
    fields: dict[str, Any] = dict(_FAMILIES[family])
    known = set(ModelConfig.model_fields)
    for key, value in raw.items():
        name = _ALIASES.get(key, key)
        if key in _FIXED:
            if value not in _FIXED[key]:
                raise UserError(f"{where} sets {key} = {value!r}; centime computes only {key} = {_FIXED[key][0]!r}.")
        elif name in known and key not in _IRRELEVANT:
            if name in raw and name != key and raw[name] != value:
                raise UserError(f"{where} sets {key} = {value!r} and {name} = {raw[name]!r}, two names of one size.")
            if value is not None or name not in fields:
                fields[name] = value
        elif key not in _IRRELEVANT and value not in (None, False) and value not in ({}, []):
            # A setting that is off cannot change anything; one that is on might.
            raise UserError(
                f"{where} sets {key!r} = {value!r}, which centime does not know and which may change the computation."
                f"{nearest(key, known)} Remove it from the file if it does not."
            )
    _attention(fields, raw, family, where)
    fields["rope_theta"], fields["rope_scaling"] = _rotary(raw, family, where)
    _experts(fields, where)
    fields["bos_token_id"], fields["eos_token_id"] = (_one(raw.get(key)) for key in ("bos_token_id", "eos_token_id"))
    quantization(raw, where)
    try:
        return ModelConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{where}: {name + ': ' if name else ''}{first['msg'].removeprefix('Value error, ')}."
        ) from None


def _one(token: Any) -> int | None:
    """The first id of a list: a config.json may list every end token, the model needs one."""
    first = token[0] if isinstance(token, list) and token else token
    return first if isinstance(first, int) else None


def _attention(fields: dict[str, Any], raw: Mapping[str, Any], family: str, where: str) -> None:
    """Head sizes: stated for MLA, derived for Llama; every query head needs a key head of its own."""
    needed = _SIZES if family == "llama" else _SIZES + _DEEPSEEK_SIZES
    if missing := [name for name in needed if name not in fields]:
        raise UserError(f"{where} does not say {', '.join(missing)}; a {family} model needs each of them.")
    heads, kv_heads = fields["num_attention_heads"], raw.get("num_key_value_heads")
    if family == "llama":
        if kv_heads not in (None, heads):
            raise UserError(
                f"{where} has {heads} query heads on {kv_heads} key heads (grouped-query attention); "
                "centime's dense baseline has one key head for each query head."
            )
        head = raw.get("head_dim") or fields["hidden_size"] // heads
        fields.update(qk_nope_head_dim=0, qk_rope_head_dim=head, v_head_dim=head, q_lora_rank=None)
        return
    if fields.get("q_lora_rank") == 0:  # DeepSeek's inference configurations write "none" so
        fields["q_lora_rank"] = None
    whole = fields["qk_nope_head_dim"] + fields["qk_rope_head_dim"]
    if raw.get("qk_head_dim") not in (None, whole):
        raise UserError(f"{where} sets qk_head_dim = {raw['qk_head_dim']}, but its two parts add to {whole}.")


def _experts(fields: dict[str, Any], where: str) -> None:
    """Expert sizes and groups must be stated where there are experts; experts that no layer has are none."""
    first = fields.get("first_k_dense_replace")
    if fields["n_routed_experts"] is None or (isinstance(first, int) and first >= _layers(fields)):
        fields["n_routed_experts"] = None
        for name in (*_EXPERT_SIZES, "n_group", "topk_group"):
            if fields.get(name) is None:
                fields.pop(name, None)
        return
    needed = _EXPERT_SIZES if fields["topk_method"] == "greedy" else [*_EXPERT_SIZES, "n_group", "topk_group"]
    if missing := [
        name for name in needed if fields.get(name) is None and (name != "n_shared_experts" or name not in fields)
    ]:
        raise UserError(f"{where} has {fields['n_routed_experts']} experts but does not say {', '.join(missing)}.")


def _rotary(raw: Mapping[str, Any], family: str, where: str) -> tuple[float, YarnScaling | None]:
    """Base and YaRN settings, from `rope_theta` and `rope_scaling` or transformers 5's `rope_parameters`."""
    settings: dict[str, Any] = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    theta = float(settings.pop("rope_theta", None) or raw.get("rope_theta") or 10000.0)
    kind = {settings.pop(key, None) for key in ("rope_type", "type")} - {None}
    if kind - {"yarn", "default"} or len(kind) > 1:
        raise UserError(f"{where} scales its rotary embedding by {'/'.join(sorted(kind))!r}; centime computes 'yarn'.")
    if settings.pop("partial_rotary_factor", None) not in (None, 1):
        raise UserError(f"{where} rotates part of a head (partial_rotary_factor); set qk_rope_head_dim instead.")
    if settings.pop("truncate", True) is False:
        raise UserError(f"{where} sets truncate = false for YaRN; centime rounds the ramp's ends, as DeepSeek does.")
    if kind != {"yarn"}:
        return theta, None
    factor, original = settings.pop("factor", None), settings.pop("original_max_position_embeddings", None)
    if original is None:
        raise UserError(f"{where} uses YaRN without original_max_position_embeddings, the context before extension.")
    if factor is None:
        factor = raw.get("max_position_embeddings", original) / original
    slope, slope_all = settings.pop("mscale", None), settings.pop("mscale_all_dim", None)
    attention_factor = settings.pop("attention_factor", None)
    ramp = {key: value for key in ("beta_fast", "beta_slow") if (value := settings.pop(key, None)) is not None}
    if settings:
        raise UserError(f"{where} has unknown rotary settings {sorted(settings)}, which may change the computation.")
    slope, slope_all = _yarn_slopes(float(factor), slope, slope_all, attention_factor, family, where)
    return theta, YarnScaling(
        factor=factor, original_max_position_embeddings=original, mscale=slope, mscale_all_dim=slope_all, **ramp
    )


def _yarn_slopes(
    factor: float, slope: float | None, slope_all: float | None, attention_factor: float | None, family: str, where: str
) -> tuple[float, float]:
    """(mscale, mscale_all_dim) such that rotated features and softmax are scaled as the file's own code scales them.

    With magnitude(m) = 0.1 m ln(s) + 1, rotated features are scaled by magnitude(mscale) / magnitude(mscale_all_dim),
    or by `attention_factor` where it is given; the softmax by magnitude(mscale_all_dim)^2 in DeepSeek's attention and
    not at all in Llama's.
    """
    per_slope = 0.1 * math.log(factor) if factor > 1 else 0.0
    if attention_factor is None:
        if family != "llama":
            return (1.0 if slope is None else slope), slope_all or 0.0
        if not (slope and slope_all):  # transformers: without both, the paper's 0.1 ln(s) + 1
            return 1.0, 0.0
        attention_factor = (per_slope * slope + 1) / (per_slope * slope_all + 1)
    softmax_slope = 0.0 if family == "llama" else slope_all or 0.0
    rotated = attention_factor * (per_slope * softmax_slope + 1) - 1
    if rotated < -1e-12 or (per_slope == 0 and rotated > 1e-12):
        raise UserError(f"{where} scales rotated features by {attention_factor:.4g}, which YaRN's mscale cannot say.")
    return (max(rotated, 0.0) / per_slope if per_slope else 1.0), softmax_slope


def quantization(raw: Mapping[str, Any], where: str = "config.json") -> int | None:
    """Rows and columns of one block of DeepSeek's FP8 weights (128), or None where weights are plain. UserError."""
    settings = raw.get("quantization_config")
    if not settings:
        return None
    block = settings.get("weight_block_size")
    if settings.get("quant_method") != "fp8" or not isinstance(block, list) or len(set(block)) != 1 or len(block) != 2:
        raise UserError(
            f"{where} is quantised by {settings.get('quant_method')!r} with weight_block_size {block!r}; centime reads "
            "DeepSeek's block-scaled fp8 (one square block size) and plain bf16, fp16 or fp32 weights."
        )
    return int(block[0])


def family_of(config: ModelConfig) -> str:
    """The model_type whose published code computes `config`; Llama's for the dense multi-head baseline.

    A mixture that no family has (plain multi-head attention with experts, softmax scores with V3's bias) is written as
    deepseek_v3 with its fields spelled out: centime reads it back, engines that assume V3's fixed routing do not.
    """
    if not config.is_mla and config.n_routed_experts is None and not config.rope_interleave:
        return "llama" if not config.num_nextn_predict_layers else "deepseek_v3"
    v2_routing = config.scoring_func == "softmax" and config.topk_method != "noaux_tc"
    return "deepseek_v2" if v2_routing and config.rope_interleave and config.is_mla else "deepseek_v3"


def to_hf(config: ModelConfig, dtype: str = "float32") -> dict[str, Any]:
    """The config.json of `config`, with `dtype` ('bfloat16', 'float32') as its weights' type. Inverse of `from_hf`."""
    family = family_of(config)
    raw: dict[str, Any] = {"architectures": [_ARCHITECTURES[family]], "model_type": family}
    raw |= config.model_dump(exclude={"rope_scaling"})
    raw |= {"num_key_value_heads": config.num_attention_heads, "hidden_act": "silu", "attention_bias": False}
    raw |= {"torch_dtype": dtype, "use_cache": True}
    yarn = config.rope_scaling
    raw["rope_scaling"] = None if yarn is None else {"type": "yarn", "rope_type": "yarn", **yarn.model_dump()}
    if family == "llama":
        for name in _DEEPSEEK_ONLY:
            del raw[name]
        raw["head_dim"] = config.v_head_dim
        if yarn is not None:
            # Every dimension is rotated, so scaling features by a scales the scores by a^2: one number says it all.
            per_slope = 0.1 * math.log(yarn.factor)
            raw["rope_scaling"]["attention_factor"] = per_slope * yarn.mscale + 1
            del raw["rope_scaling"]["mscale"], raw["rope_scaling"]["mscale_all_dim"]
    else:
        raw["n_shared_experts"] = config.n_shared_experts or 0  # transformers wants numbers here, and null in neither
        if config.n_routed_experts is None:
            raw |= {"n_routed_experts": 1, "first_k_dense_replace": _layers(raw)}
    return raw


def _layers(fields: Mapping[str, Any]) -> int:
    """Decoder layers and MTP modules together."""
    return int(fields["num_hidden_layers"]) + int(fields["num_nextn_predict_layers"])


_DEEPSEEK_ONLY = [
    "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "moe_intermediate_size",
    "n_routed_experts", "n_shared_experts", "num_experts_per_tok", "first_k_dense_replace", "moe_layer_freq",
    "scoring_func", "topk_method", "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor",
    "num_nextn_predict_layers", "rope_interleave",
]  # fmt: skip
