"""Which mixer and which feed-forward each layer of a config.json has, by any of the ways in which families say so."""

from __future__ import annotations

from typing import NamedTuple

from centime.catalogue.decoders.keys import EXPERTS, TOP_K, ConfigKeys


class LayerKind(NamedTuple):
    """mixer: full, window, linear, mamba, conv, both (attention and Mamba side by side), cN (compressed), or none.
    feed_forward: dense, experts, or none.
    """

    mixer: str | None
    feed_forward: str | None


# What the entries of layer_types and its older kin mean.
_MIXERS = {
    **dict.fromkeys(("full_attention", "attention", "global", "full", "softmax_attention", "dense_attention"), "full"),
    **dict.fromkeys(("indexed_attention", "deepseek_sparse_attention", "minimax_m3_sparse"), "full"),
    **dict.fromkeys(("sliding_attention", "chunked_attention", "local", "sliding_window", "local_attention"), "window"),
    **dict.fromkeys(("linear_attention", "kda", "gated_delta_net", "lightning_attention"), "linear"),
    **dict.fromkeys(("mamba", "mamba2", "m", "ssm"), "mamba"),
    **dict.fromkeys(("conv", "short_conv"), "conv"),
    **dict.fromkeys(("hybrid", "parallel"), "both"),
}  # fmt: skip
# DeepSeek-V4's, by transformers' words: how many positions become one entry.
_COMPRESSED = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
_FEED_FORWARDS = {"dense": "dense", "mlp": "dense", "sparse": "experts", "moe": "experts", "experts": "experts"}
# Families whose layers are one part each, a mixer or a feed-forward: Nemotron-H's letters.
_FIRST_DENSE = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
_MIXERS_ALONE = ("mamba", "mamba2", "falcon_mamba")
_LETTERS = {"M": ("mamba", None), "*": ("full", None), "-": (None, "dense"), "E": (None, "experts")}


def layer_kinds(keys: ConfigKeys, layers: int) -> list[LayerKind]:
    """The kind of every layer. Raises UserError on a list of another length and on words that are not known."""
    pattern = keys.text("hybrid_override_pattern")
    if pattern:
        if len(pattern) != layers or set(pattern) - set(_LETTERS):
            raise keys.refused(("hybrid_override_pattern",), pattern, f"{layers} letters, each of M, *, - and E")
        return [LayerKind(*_LETTERS[letter]) for letter in pattern]
    alone = keys.words("layers_block_type")
    if set(alone) & {"mlp", "moe"}:  # the same, in words
        _length(keys, "layers_block_type", alone, layers)
        return single_parts(keys, "layers_block_type", alone)
    return [LayerKind(*kind) for kind in zip(_mixers(keys, layers), _feed_forwards(keys, layers), strict=True)]


def single_parts(keys: ConfigKeys, name: str, words: list[str]) -> list[LayerKind]:
    """Layers of one part each, a mixer or a feed-forward, as the list under `name` has them."""
    return [
        LayerKind(None, _FEED_FORWARDS[word]) if word in _FEED_FORWARDS else LayerKind(_mixer(keys, name, word), None)
        for word in words
    ]


def _length(keys: ConfigKeys, name: str, found: list[str] | list[int], layers: int) -> None:
    if len(found) != layers:
        raise keys.refused((name,), found, f"one entry for each of the {layers} layers")


def _mixer(keys: ConfigKeys, name: str, word: str) -> str:
    found = _MIXERS.get(word.lower())
    if found is None:
        raise keys.refused((name,), word, f"one of {', '.join(_MIXERS)}")
    return found


def _mixers(keys: ConfigKeys, layers: int) -> list[str]:
    ratios = keys.numbers("compress_ratios")
    if ratios:  # DeepSeek-V4; the entries behind the layers are those of its MTP modules
        if len(ratios) < layers:
            raise keys.refused(("compress_ratios",), ratios, f"one number for each of the {layers} layers")
        return [f"c{ratio}" for ratio in ratios[:layers]]
    for name in ("layer_types", "layers_block_type", "layer_block_types", "attention_layers"):
        words = keys.words(name)
        if words:
            _length(keys, name, words, layers)
            compressed = bool(set(words) & _COMPRESSED.keys())
            return [_compressed(keys, word) if compressed else _mixer(keys, name, word) for word in words]
    windows = keys.numbers("hybrid_layer_pattern")
    if windows:  # MiMo-V2: 1 within the window
        _length(keys, "hybrid_layer_pattern", windows, layers)
        return ["window" if within else "full" for within in windows]
    kinds = keys.numbers("attn_type_list")
    if kinds:  # MiniMax-M1: 0 lightning, 1 softmax attention
        _length(keys, "attn_type_list", kinds, layers)
        return ["full" if kind else "linear" for kind in kinds]
    linear = keys.inner("linear_attn_config")
    if linear is not None and linear.numbers("full_attn_layers"):  # Kimi-Linear counts layers from one
        full = set(linear.numbers("full_attn_layers"))
        return ["full" if layer + 1 in full else "linear" for layer in range(layers)]
    return [_by_period(keys, layer, layers) for layer in range(layers)]


def _compressed(keys: ConfigKeys, word: str) -> str:
    rates = keys.inner("compress_rates")
    if word not in _COMPRESSED:  # the window alone
        return "c0"
    return f"c{_COMPRESSED[word] if rates is None else rates.size(word, default=_COMPRESSED[word])}"


def _by_period(keys: ConfigKeys, layer: int, layers: int) -> str:
    """By the numbers that say which layers are the odd ones."""
    every = keys.whole("full_attention_interval", "layer_group_size")
    if every:
        return "full" if (layer + 1) % every == 0 else "linear"
    period, offset = keys.whole("attn_layer_period"), keys.whole("attn_layer_offset", default=0)
    if period:
        return "full" if layer % period == offset else "mamba"
    chosen = keys.numbers("attn_layer_indices")
    if chosen or "mamba_d_ssm" in keys.raw or "mamba_n_heads" in keys.raw:
        if keys.text("model_type") == "falcon_h1":
            return "both"
        return "full" if layer in chosen else "mamba"
    if keys.whole("state_size", "ssm_state_size") and keys.whole("num_attention_heads", "n_head") is None:
        return "mamba"
    return "window" if _windowed(keys, layer, layers) else "full"


def _windowed(keys: ConfigKeys, layer: int, layers: int) -> bool:
    """Whether a layer attends within a window, where no list says so."""
    if not keys.whole("sliding_window", "window_size", "attention_chunk_size"):
        return False
    family = keys.text("model_type").removesuffix("_text")
    pattern = keys.get("sliding_window_pattern", "_sliding_window_pattern")
    if isinstance(pattern, str) and set(pattern) <= {"L", "G"} and pattern:
        return pattern[layer % len(pattern)] == "L" and layer + 1 < layers
    default = {"gemma2": 2, "gpt_oss": 2, "gemma3": 6, "cohere2": 4, "llama4": 4, "exaone4": 4}.get(family)
    period = keys.whole("sliding_window_pattern", "_sliding_window_pattern", default=default)
    if period:
        return (layer + 1) % period != 0
    if keys.get("use_sliding_window") is not None and not keys.flag("use_sliding_window"):
        return False
    if family.startswith("qwen"):
        return keys.flag("use_sliding_window") and layer >= (keys.whole("max_window_layers", default=layers) or 0)
    return True


def _feed_forwards(keys: ConfigKeys, layers: int) -> list[str | None]:
    if keys.text("model_type") in _MIXERS_ALONE:
        return [None] * layers
    keys.get(*_FIRST_DENSE)
    if not _experts(keys):
        return ["dense"] * layers
    words = keys.words("mlp_layer_types")
    if words:
        _length(keys, "mlp_layer_types", words, layers)
        unknown = [word for word in words if word not in _FEED_FORWARDS and word != "hash_moe"]
        if unknown:
            raise keys.refused(("mlp_layer_types",), unknown[0], f"one of {', '.join(_FEED_FORWARDS)}")
        return [_FEED_FORWARDS.get(word, "experts") for word in words]
    return ["experts" if _has_experts(keys, layer) else "dense" for layer in range(layers)]


def _experts(keys: ConfigKeys) -> bool:
    """Whether there is more than one expert to route to."""
    keys.get(*TOP_K)  # written also where nothing is routed
    inside = keys.inner("ffn_config")  # DBRX's
    found = keys.whole(*EXPERTS) or (inside.whole("moe_num_experts") if inside is not None else None)
    return (found or 0) > 1


def _has_experts(keys: ConfigKeys, layer: int) -> bool:
    dense = keys.whole(*_FIRST_DENSE, default=0) or 0
    if isinstance(keys.get("moe_layer_freq"), list):
        chosen = keys.numbers("moe_layer_freq")
        return layer < len(chosen) and bool(chosen[layer])
    for name in ("moe_layers", "moe_layer_indices"):
        if keys.numbers(name):
            return layer in keys.numbers(name)
    if layer in keys.numbers("mlp_only_layers"):
        return False
    if layer < dense:
        return False
    last = keys.get("moe_layer_end_index")
    if isinstance(last, int) and not isinstance(last, bool) and 0 <= last < layer:
        return False
    period = keys.whole("expert_layer_period")
    if period:
        return layer % period == keys.whole("expert_layer_offset", default=0)
    step = keys.whole("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", default=1) or 1
    if step > 1:
        return (layer + 1) % step == 0
    return layer % keys.size("moe_layer_freq", default=1) == 0
