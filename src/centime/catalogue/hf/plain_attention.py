"""Plain attention as config.json says it: heads, their width, biases, norms and windows, by family.

What a file leaves out is asked for where readers would fill in different numbers (transformers 5 gives a Mistral 8 key
heads and a Qwen 32).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from centime.errors import UserError
from centime.json_files import brief

# Families of plain attention, each with what it must say beside the sizes that every family says.
PLAIN: dict[str, tuple[str, ...]] = {
    "llama": (),
    "mistral": ("num_key_value_heads",),
    "qwen2": ("num_key_value_heads",),
    "qwen3": ("num_key_value_heads", "head_dim"),
}
# What `attention_bias` may say, the value that is meant where it says nothing first. Qwen2's queries, keys and values
# have biases and its outputs none, whatever it says; where Llama and Qwen3 have biases, outputs have one too.
BIASES: dict[str, tuple[bool | None, ...]] = {
    "llama": (False, True, None),
    "mistral": (False, None),
    "qwen2": (True, None),
    "qwen3": (False, True, None),
}


def plain_attention(raw: Mapping[str, Any], family: str, where: str) -> dict[str, Any]:
    """ModelConfig's fields of attention. `raw` has types that `check_types` has seen. Raises UserError."""
    if missing := [key for key in PLAIN[family] if key not in raw]:
        raise UserError(f"{where} does not say {missing[0]}; a {family} model needs it there.")
    heads, hidden = raw["num_attention_heads"], raw["hidden_size"]
    if not raw.get("head_dim") and hidden % heads:
        raise UserError(
            f"{where}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}, and head_dim does not "
            "say how wide a head is."
        )
    _refuse_windows(raw, where)
    head, kv_heads = raw.get("head_dim") or hidden // heads, raw.get("num_key_value_heads")
    biased = family == "qwen2" or bool(raw.get("attention_bias"))
    return {
        "num_key_value_heads": None if kv_heads == heads else kv_heads,
        "qk_nope_head_dim": 0,
        "qk_rope_head_dim": head,
        "v_head_dim": head,
        "q_lora_rank": None,
        "qkv_bias": biased,
        "out_bias": biased and family != "qwen2",
        "qk_norm": family == "qwen3",
    }


def _refuse_windows(raw: Mapping[str, Any], where: str) -> None:
    """Raises UserError where some query would not meet every key before it.

    Qwen's files state a window and whether it is used, from which layer on; a window as wide as the longest context
    hides nothing.
    """
    window, positions = raw.get("sliding_window"), raw.get("max_position_embeddings") or 0
    used = window is not None and window < positions and raw.get("use_sliding_window", True)
    layers = raw["num_hidden_layers"]
    kinds = raw.get("layer_types")
    if kinds is not None:
        used = used and any(kind != "full_attention" for kind in kinds)
        if other := sorted({*kinds} - {"full_attention", "sliding_attention"}):
            raise UserError(f"{where}: layer_types has {brief(other[0])}; centime computes full_attention.")
    elif (raw.get("max_window_layers") or 0) >= layers:  # Qwen's layers below it see everything
        used = False
    if used:
        raise UserError(
            f"{where} has a sliding window of {window:,} tokens in a context of {positions:,}; centime computes "
            "attention over the whole context. Set max_position_embeddings to the window to use the model within it."
        )
