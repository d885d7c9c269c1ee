"""config.json of the DeepSeek-V2 and V3 families and of dense decoders (Llama, Mistral, Qwen2, Qwen3), to ModelConfig.

Reads what DeepSeek publishes and what transformers 5 writes (it moves the rotary settings into `rope_parameters`,
drops `scoring_func` and V3's `topk_method`, and adds sizes that follow from others). A key that could change the
computation and that centime does not know is an error, and so are two keys that contradict each other, and a setting
that the family's published codes do not compute alike: a model that loads computes what its authors meant. Types and
bounds are `settings`'s, the rotary embedding `rotary`'s, plain attention `plain_attention`'s; the way back is
`family.to_hf`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from centime.catalogue.hf.plain_attention import BIASES, PLAIN, plain_attention
from centime.catalogue.hf.quantization import quantization
from centime.catalogue.hf.rotary import rotary
from centime.catalogue.hf.settings import ALIASES, check_types, explain
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError, nearest
from centime.json_files import brief, read_object

# What a config.json leaves unsaid, by family: the routing that the family's code applies (V2 and V3 reports, 2.1.2).
_COMMON = {"moe_layer_freq": 1, "num_nextn_predict_layers": 0, "rope_interleave": True, "tie_word_embeddings": False}
_FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek_v2": _COMMON | {"scoring_func": "softmax", "topk_method": "greedy", "norm_topk_prob": False},
    "deepseek_v3": _COMMON | {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": True},
    **dict.fromkeys(
        PLAIN,
        _COMMON | {"n_routed_experts": None, "n_shared_experts": None, "kv_lora_rank": None, "rope_interleave": False},
    ),
}
# A config.json must say these itself: a default of centime's would be a guess at someone else's model.
_SIZES = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "rms_norm_eps"]
_DEEPSEEK_SIZES = ["kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"]
_MAY_BE_NONE = ("q_lora_rank", "n_routed_experts")  # null is a size too: a plain query, no experts
_EXPERT_SIZES = [
    "moe_intermediate_size", "num_experts_per_tok", "n_shared_experts", "first_k_dense_replace", "routed_scaling_factor"
]  # fmt: skip

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
        # of plain attention, read apart
        "layer_types", "max_window_layers", "use_sliding_window",
    }
)  # fmt: skip


# What only DeepSeek's families have.
DEEPSEEK_ONLY = [
    "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "moe_intermediate_size",
    "n_routed_experts", "n_shared_experts", "num_experts_per_tok", "first_k_dense_replace", "moe_layer_freq",
    "scoring_func", "topk_method", "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor",
    "num_nextn_predict_layers", "rope_interleave",
]  # fmt: skip
# Names of centime's own, for what each family of plain attention says in its own way or by its name alone.
OWN_NAMES = ("qkv_bias", "out_bias", "qk_norm")


def model_folder(path: Path) -> Path:
    """`path` itself, the model/ inside it when `path` is a finished run's folder, or the folder of a config.json."""
    if path.name == "config.json" and _is_file(path):
        return path.parent
    inside = path / "model"
    return inside if not _is_file(path / "config.json") and _is_file(inside / "config.json") else path


def holds_model(path: Path) -> bool:
    """Whether `path` is a model's folder, a run's with a model in it, or a config.json itself."""
    return _is_file(model_folder(path) / "config.json")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False


def read(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The configuration in `folder`/config.json, and that file as it stands. Raises UserError."""
    path = folder / "config.json"
    if not path.exists():
        raise UserError(
            f"{folder} has no config.json; a model is a Hugging Face folder with config.json and .safetensors files."
        )
    raw = read_object(path, "copy it again from the model's source")
    return from_hf(raw, str(path)), raw


def from_hf(raw: Mapping[str, Any], where: str = "config.json") -> ModelConfig:
    """The ModelConfig that a config.json's content describes. `where` names the file in a UserError."""
    check_types(raw, where)
    family = raw.get("model_type")
    if family not in _FAMILIES:
        raise UserError(
            f"{where} says model_type {brief(family)}; centime computes {', '.join(_FAMILIES)}."
            f"{_other_family(str(family), raw)}"
        )
    fields = {**_FAMILIES[family], **_stated(raw, family, where)}
    _sizes(fields, raw, family, where)
    if family in PLAIN:
        fields |= plain_attention(raw, family, where)
    else:
        _latent_attention(fields, raw, where)
    fields["rope_theta"], fields["rope_scaling"] = rotary(raw, family, where)
    _experts(fields, family, where)
    fields["bos_token_id"], fields["eos_token_id"] = (_one(raw.get(key)) for key in ("bos_token_id", "eos_token_id"))
    quantization(raw, where)
    try:
        return ModelConfig(**fields)
    except ValidationError as error:
        raise UserError(explain(error, where)) from None


def _other_family(family: str, raw: Mapping[str, Any]) -> str:
    """What more to say of a family that is not computed: a slip of the pen, or a model of another kind."""
    if "vision_config" in raw or "audio_config" in raw:
        return " This model takes images or sounds too; centime computes language models alone."
    derived = any(family.startswith(f"{known}_") for known in _FAMILIES)  # qwen2_vl is no slip for qwen2
    return "" if derived else nearest(family, _FAMILIES)


def _fixed(family: str) -> dict[str, tuple[Any, ...]]:
    """Settings that would change the computation, with the values that are computed."""
    if family not in PLAIN:
        return _FIXED
    rest = {key: values for key, values in _FIXED.items() if key != "sliding_window"}
    return rest | {"attention_bias": BIASES[family]}


def _stated(raw: Mapping[str, Any], family: str, where: str) -> dict[str, Any]:
    """The settings of ModelConfig that a file states, by ModelConfig's names; every other key is off, or refused."""
    known = set(ModelConfig.model_fields) - {*OWN_NAMES, *(DEEPSEEK_ONLY if family in PLAIN else ())}
    fixed, apart = _fixed(family), _IRRELEVANT | ({"sliding_window"} if family in PLAIN else set())
    fields: dict[str, Any] = {}
    said: dict[str, str] = {}
    for key, value in raw.items():
        name = ALIASES.get(key, key)
        if key in fixed:
            if not any(value == computed for computed in fixed[key]):
                raise UserError(
                    f"{where} sets {key} = {brief(value)}; centime computes only {key} = {brief(fixed[key][0])}."
                )
        elif name in known and key not in apart:
            if name in said and raw[said[name]] != value:
                other = f"{said[name]} = {brief(raw[said[name]])}"
                raise UserError(
                    f"{where} sets {other} and {key} = {brief(value)}, two names of one setting; keep the right one."
                )
            said[name] = key
            if value is None and _FAMILIES[family].get(name) is True:  # DeepSeek's code takes true, transformers false
                raise UserError(f"{where} sets {key} = null, which readers take for true or for false; say which.")
            if value is not None or name in (*_MAY_BE_NONE, "n_shared_experts"):
                fields[name] = value
        elif key not in apart and value not in (None, False) and value not in ({}, []):
            # A setting that is off cannot change anything; one that is on might.
            raise UserError(
                f"{where} sets {key!r} = {brief(value)}, which centime does not know and which may change the "
                f"computation.{nearest(key, known)} Remove it from the file if it does not."
            )
    return fields


def _one(token: Any) -> int | None:
    """The first id of a list: a config.json may list every end token, the model needs one."""
    first = token[0] if isinstance(token, list) and token else token
    return first if isinstance(first, int) else None


def _sizes(fields: Mapping[str, Any], raw: Mapping[str, Any], family: str, where: str) -> None:
    needed = _SIZES if family in PLAIN else [*_SIZES, *_DEEPSEEK_SIZES, *_MAY_BE_NONE]
    if missing := [name for name in needed if name not in fields]:
        null = [name for name in missing if name in raw]
        what = f"sets {null[0]} = null" if null else f"does not say {', '.join(missing)}"
        raise UserError(f"{where} {what}; a {family} model needs {'a number' if null else 'each of them'} there.")


def _latent_attention(fields: Mapping[str, Any], raw: Mapping[str, Any], where: str) -> None:
    """Head sizes are said in parts; sums and second names that writers add must agree with them."""
    rotated = fields["qk_rope_head_dim"]
    whole = fields["qk_nope_head_dim"] + rotated
    if raw.get("qk_head_dim") not in (None, whole):
        raise UserError(f"{where} sets qk_head_dim = {raw['qk_head_dim']}, but its two parts add to {whole}.")
    if raw.get("head_dim") not in (None, rotated):
        raise UserError(
            f"{where} sets head_dim = {raw['head_dim']} and qk_rope_head_dim = {rotated}, two names of the rotated "
            "part; remove the one or mend it."
        )


def _experts(fields: dict[str, Any], family: str, where: str) -> None:
    """Expert sizes and groups must be stated where there are experts; experts that no layer has are none."""
    layers = fields["num_hidden_layers"] + fields["num_nextn_predict_layers"]
    if fields["n_routed_experts"] is None or fields.get("first_k_dense_replace", 0) >= layers:
        fields["n_routed_experts"] = None
        return
    needed = _EXPERT_SIZES if fields["topk_method"] == "greedy" else [*_EXPERT_SIZES, "n_group", "topk_group"]
    none_shared = {"n_shared_experts"} & fields.keys()
    if missing := [name for name in needed if fields.get(name) is None and name not in none_shared]:
        raise UserError(f"{where} has {fields['n_routed_experts']} experts but does not say {', '.join(missing)}.")
    _routing(fields, family, where)


def _routing(fields: dict[str, Any], family: str, where: str) -> None:
    """What a family's published codes (DeepSeek's own and transformers') do not both compute is refused."""
    methods = {"deepseek_v2": ("greedy", "group_limited_greedy"), "deepseek_v3": ("noaux_tc",)}[family]
    for name, computed in (("scoring_func", (_FAMILIES[family]["scoring_func"],)), ("topk_method", methods)):
        if fields[name] not in computed:
            raise UserError(
                f"{where} sets {name} = {fields[name]!r}; a {family} model routes by {' or '.join(computed)}."
            )
    one = fields["num_experts_per_tok"] == 1
    if fields["norm_topk_prob"] and family == "deepseek_v2" and not one:
        raise UserError(
            f"{where} sets norm_topk_prob = true in a deepseek_v2: DeepSeek's own code then leaves out "
            "routed_scaling_factor, transformers ignores the setting; no code is the rule. Set it to false, if gates "
            "are the scores times routed_scaling_factor."
        )
    if fields["norm_topk_prob"] and family == "deepseek_v3" and one:
        raise UserError(
            f"{where}: num_experts_per_tok is 1 and norm_topk_prob true: DeepSeek's own code leaves the one gate at "
            "its score, transformers makes it 1. Set norm_topk_prob to false, if the gate is the score."
        )
    if family == "deepseek_v2" and not fields["rope_interleave"]:
        raise UserError(f"{where} sets rope_interleave = false, which no code of deepseek_v2 computes; set it to true.")
