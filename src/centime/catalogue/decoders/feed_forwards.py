"""The feed-forward of a layer, dense or a mixture of experts, with the sizes that a config.json gives it."""

from __future__ import annotations

from centime.catalogue.architecture import ExpertsSpec, FeedForwardSpec, LayerGroup, Mixer
from centime.catalogue.decoders.keys import EXPERTS, TOP_K, ConfigKeys
from centime.catalogue.decoders.mixers import shared_layers

_WIDTH = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "d_ff")
_DENSE_WIDTH = ("dense_intermediate_size", "prefix_dense_intermediate_size")  # where experts have the plain name
# Families whose feed-forward has two matrices, with no gate; all others multiply by one (SwiGLU and its kin).
UNGATED = frozenset(
    {
        *("gpt2", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gptj", "gpt_bigcode", "gpt-sw3", "openai-gpt", "opt"),
        *("bloom", "codegen", "falcon", "mpt", "phi", "persimmon", "starcoder2", "biogpt", "xglm", "nemotron", "arcee"),
        *("fuyu", "nanochat", "apertus", "jais2", "nemotron_h"),
    }
)  # fmt: skip
_EXPERT_WIDTH = ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size")


FeedForward = FeedForwardSpec | ExpertsSpec | None


def feed_forwards_of(keys: ConfigKeys, kinds: list[str | None], hidden: int) -> list[FeedForward]:
    """The feed-forward of every layer."""
    keys.get(
        *_WIDTH, *_DENSE_WIDTH, *_EXPERT_WIDTH, "intermediate_size_mlp"
    )  # read, whether any layer is dense or none
    widths = _widths(keys, len(kinds), hidden) if "dense" in kinds else [0] * len(kinds)
    if keys.flag("use_double_wide_mlp"):  # Gemma 4's E2B: where keys and values are another layer's
        own = len(kinds) - shared_layers(keys, len(kinds))
        widths = [width * (1 if layer < own else 2) for layer, width in enumerate(widths)]
    gated, bias = keys.text("model_type") not in UNGATED, keys.flag("mlp_bias")
    mixture = experts(keys, gated) if "experts" in kinds else None
    return [
        None if kind is None else mixture if kind == "experts" else FeedForwardSpec(width, gated, bias)
        for kind, width in zip(kinds, widths, strict=True)
    ]


def _widths(keys: ConfigKeys, layers: int, hidden: int) -> list[int]:
    inside = keys.inner("ffn_config")
    if inside is not None and inside.whole("ffn_hidden_size"):
        return [inside.size("ffn_hidden_size")] * layers
    family = keys.text("model_type")
    if family.startswith("llama4"):
        return [keys.size("intermediate_size_mlp")] * layers
    if family == "mpt":
        return [keys.size("expansion_ratio", default=4) * hidden] * layers
    found = keys.per_layer(layers, *_DENSE_WIDTH, *_WIDTH, default=4 * hidden if family in UNGATED else None)
    if family in ("lfm2", "lfm2_moe") and keys.flag("block_auto_adjust_ff_dim"):
        multiple = keys.size("block_multiple_of", default=256)
        found = [-(-int(2 * width / 3) // multiple) * multiple for width in found]
    return found


def experts(keys: ConfigKeys, gated: bool) -> ExpertsSpec:
    """The mixture of a layer that has one."""
    inside = keys.inner("ffn_config")
    if inside is not None and inside.whole("moe_num_experts"):  # DBRX
        return ExpertsSpec(inside.size("moe_num_experts"), inside.size("moe_top_k"), inside.size("ffn_hidden_size"))
    width = keys.size(*_EXPERT_WIDTH, *_WIDTH)
    count, zero = keys.size(*EXPERTS), keys.whole("zero_expert_num", default=0) or 0
    visited = max(1, round(keys.size(*TOP_K) * count / (count + zero)))  # of those that compute, all chosen alike
    return ExpertsSpec(
        count,
        min(visited, count),
        width,
        shared_width(keys, width),
        gated,
        keys.whole("moe_latent_size", "routed_expert_hidden_size") or None,
        correction_bias=keys.get("topk_method") == "noaux_tc" or keys.flag("use_routing_bias"),
        groups=keys.size("n_group", "num_expert_group", default=1),
        top_groups=keys.size("topk_group", default=1),
        bias=keys.text("model_type") == "gpt_oss",
        zero_experts=zero,
    )


def doubled_layer(keys: ConfigKeys, mixer: Mixer | None, part: FeedForward) -> list[LayerGroup]:
    """A layer of LongCat: attention and a dense feed-forward twice, and the experts beside them (arXiv 2509.01322)."""
    dense = FeedForwardSpec(keys.size("ffn_hidden_size"))
    return [LayerGroup(mixer, dense), LayerGroup(mixer, dense), LayerGroup(None, part)]


def shared_width(keys: ConfigKeys, width: int) -> int:
    """Of all experts that every token visits: stated, or so many experts of a routed one's width."""
    family = keys.text("model_type")
    if family.startswith("llama4"):
        return keys.size("intermediate_size")
    if keys.flag("enable_moe_block"):  # Gemma 4: a dense feed-forward beside the experts
        return keys.size("intermediate_size")
    count = keys.whole(
        *("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"), default=None
    )
    each = keys.whole("moe_shared_expert_intermediate_size", "shared_expert_intermediate_size", "share_expert_dim")
    if each is not None:
        return each * (count if count is not None else 1)
    return keys.whole("shared_intermediate_size", default=(count or 0) * width) or 0
