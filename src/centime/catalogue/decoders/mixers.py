"""The mixer of a layer, attention of any kind or a state space, with the sizes that a config.json gives it."""

from __future__ import annotations

from centime.catalogue.architecture import (
    CompressedAttention,
    LatentAttention,
    Mixer,
    ShortConvolution,
    SoftmaxAttention,
    StateSpace,
)
from centime.catalogue.decoders.keys import ConfigKeys

_HEADS = ("num_attention_heads", "attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_attention_groups", "multi_query_group_num")
_HEAD_DIM = ("head_dim", "attention_head_dim", "kv_channels")
_GATED = {
    "qwen3_next",
    "qwen3_5",
    "qwen3_5_moe",
    "afmoe",
    "hy_v4",
}  # families that gate attention's output, whatever is said
_BIASED = {"qwen2", "qwen2_moe"}  # families whose queries, keys and values have biases, whatever is said
_OUT_BIASED = {"llama", "qwen3", "qwen3_moe"}  # families whose attention_bias is one on outputs too
_HEAD_NORMS = {"qwen3", "qwen3_moe"}
_WINDOW = ("sliding_window", "window_size", "sliding_window_size", "attention_chunk_size")


def mixers_of(keys: ConfigKeys, kinds: list[str | None], hidden: int) -> list[tuple[Mixer, ...]]:
    """The mixers of every layer: none, one, or attention and a state space side by side."""
    layers = len(kinds)
    keys.get(*_HEADS, *_KV_HEADS)  # written also where no layer has any
    found: list[tuple[Mixer, ...]] = []
    attention = _Attention(keys, layers, hidden) if set(kinds) & {"full", "window", "both"} else None
    for layer, kind in enumerate(kinds):
        if kind is None:
            found.append(())
        elif kind in ("full", "window"):
            assert attention is not None
            found.append((attention.of(layer, kind),))
        elif kind == "both":
            assert attention is not None
            found.append((attention.of(layer, "full"), state_space(keys, hidden)))
        elif kind == "linear":
            found.append((linear_attention(keys, hidden),))
        elif kind == "mamba":
            found.append((state_space(keys, hidden),))
        elif kind == "conv":
            found.append((ShortConvolution(keys.size("conv_dim", default=hidden), keys.size("conv_L_cache")),))
        else:
            found.append((compressed_attention(keys, int(kind[1:])),))
    return found


class _Attention:
    """Softmax or latent attention of the layers that have it."""

    def __init__(self, keys: ConfigKeys, layers: int, hidden: int) -> None:
        self.keys, self.hidden = keys, hidden
        self.family = keys.text("model_type").removesuffix("_text")
        apart = keys.get("num_attention_heads_per_layer") is not None  # Laguna's, beside the plain name
        self.heads = keys.per_layer(layers, *(("num_attention_heads_per_layer",) if apart else _HEADS))
        self.indexers = keys.words("indexer_types")
        self.caches = layers - shared_layers(keys, layers)  # those after them take keys and values of one before
        inside = keys.inner("attn_config")  # DBRX's and MPT's
        default = inside.whole("kv_n_heads") if inside is not None else None
        if keys.flag("multi_query") and not keys.flag("new_decoder_architecture"):
            self.kv_heads = [1] * layers
        elif keys.get(*_KV_HEADS) is None:
            self.kv_heads = [default or heads for heads in self.heads]
        else:
            self.kv_heads = keys.per_layer(layers, *_KV_HEADS)

    def of(self, layer: int, kind: str) -> Mixer:
        keys, heads, kv_heads = self.keys, self.heads[layer], self.kv_heads[layer]
        if keys.get("kv_lora_rank", "qk_nope_head_dim") is not None:
            return latent_attention(keys, heads, shared=self.indexers[layer : layer + 1] == ["shared"])
        head_dim = keys.size(*_HEAD_DIM, default=max(1, self.hidden // heads))
        value_dim = keys.whole("v_head_dim", "v_channels", default=head_dim)
        window = keys.size(*_WINDOW) if kind == "window" else None
        if window is not None:
            heads = keys.size("swa_num_attention_heads", default=heads)
            kv_heads = keys.size("swa_num_key_value_heads", default=kv_heads)
            head_dim = keys.size("swa_head_dim", default=head_dim)
            value_dim = keys.whole("swa_v_head_dim", default=value_dim if value_dim != head_dim else head_dim)
        else:  # Gemma 4's layers that see everything
            narrow = head_dim
            head_dim = keys.size("global_head_dim", default=head_dim)
            value_dim = value_dim if value_dim != narrow else head_dim
            kv_heads = keys.size("num_global_key_value_heads", default=kv_heads)
        return SoftmaxAttention(
            heads,
            kv_heads,
            head_dim,
            window=window,
            output_gate=keys.flag("attn_output_gate", "use_gated_attention", default=self.family in _GATED),
            bias=keys.flag("attention_bias", "qkv_bias", "add_qkv_bias", default=self.family in _BIASED),
            out_bias=self.family in _OUT_BIASED and keys.flag("attention_bias"),
            head_norms=self.family in _HEAD_NORMS,
            value_dim=value_dim if value_dim != head_dim else None,
            shared_projection=kind == "full" and keys.flag("attention_k_eq_v"),
            shared_cache=layer >= self.caches,
        )


def shared_layers(keys: ConfigKeys, layers: int) -> int:
    """How many of the last layers have no keys and values of their own (Gemma 3n, Gemma 4's E2B and E4B)."""
    found = keys.whole("num_kv_shared_layers", default=0) or 0
    if found >= layers:
        raise keys.refused(("num_kv_shared_layers",), found, f"fewer than the {layers} layers")
    return found


def latent_attention(keys: ConfigKeys, heads: int, shared: bool = False) -> LatentAttention:
    """Multi-head latent attention, with V3.2's indexer where there is one.

    shared: the layer takes the keys that the indexer of a layer before it chose (GLM-5.1).
    """
    kept = keys.whole("index_topk")
    indexed = bool(kept) and not shared
    keys.get("head_dim", "qk_head_dim", *_KV_HEADS)  # written beside the sizes that say it all
    return LatentAttention(
        heads,
        keys.whole("q_lora_rank") or None,
        keys.size("kv_lora_rank"),
        keys.size("qk_nope_head_dim"),
        keys.whole("qk_rope_head_dim", default=0) or 0,
        keys.size("v_head_dim"),
        kept or None,
        keys.size("index_n_heads") if indexed else 0,
        keys.size("index_head_dim") if indexed else 0,
        output_gate=keys.flag("mla_use_output_gate", default=keys.text("model_type") in _GATED),
    )


def compressed_attention(keys: ConfigKeys, compression: int) -> CompressedAttention:
    """DeepSeek-V4's attention. An indexer picks among entries of few positions; all entries of many are met."""
    indexed = 0 < compression < 64
    return CompressedAttention(
        keys.size(*_HEADS),
        keys.size("q_lora_rank"),
        keys.size("head_dim"),
        keys.size("sliding_window"),
        keys.size("index_topk") if indexed else None,
        compression,
        keys.size("index_n_heads") if indexed else 0,
        keys.size("index_head_dim") if indexed else 0,
        keys.size("o_groups"),
        keys.size("o_lora_rank"),
    )


def linear_attention(keys: ConfigKeys, hidden: int) -> StateSpace:
    """A gated delta net (Qwen3-Next, Qwen3.5), Kimi's delta attention, or lightning attention (MiniMax)."""
    inside = keys.inner("linear_attn_config")
    if inside is not None:
        heads, width = inside.size("num_heads"), inside.size("head_dim")
        conv = inside.size("short_conv_kernel_size", default=4)
        inside.numbers("kda_layers")
        whole = inside.flag("use_full_rank_gate")  # Kimi-K3's
        return StateSpace(heads, width, width, heads, conv, delta=True, gate_rank=None if whole else width)
    if keys.whole("linear_num_heads"):  # the same, as transformers writes it
        heads, width = keys.size("linear_num_heads"), keys.size("linear_head_dim")
        conv = keys.size("linear_conv_kernel_dim", default=4)
        return StateSpace(heads, width, width, heads, conv, delta=True, gate_rank=width)
    if keys.whole("linear_num_value_heads"):
        return StateSpace(
            keys.size("linear_num_value_heads"),
            keys.size("linear_value_head_dim"),
            keys.size("linear_key_head_dim"),
            keys.size("linear_num_key_heads"),
            keys.size("linear_conv_kernel_dim", default=4),
            delta=True,
        )
    if keys.get("mamba_num_heads", "mamba_n_heads", "mamba_d_state", "ssm_state_size") is not None:
        return state_space(keys, hidden)  # transformers 5 calls Mamba's layers so too
    heads = keys.size(*_HEADS)
    width = keys.size("head_dim", default=max(1, hidden // heads))
    return StateSpace(heads, width, width, heads, 0)


def state_space(keys: ConfigKeys, hidden: int) -> StateSpace:
    """Mamba-2, or Mamba-1 where there are no heads: every channel keeps a state of its own."""
    state = keys.size("ssm_state_size", "mamba_d_state", "state_size")
    width = keys.size("conv_kernel", "mamba_d_conv", "conv_kernel_size", default=4)
    wide = keys.whole("mamba_d_ssm", "mamba_intermediate_size")
    inner = wide or keys.size("mamba_expand", "expand", default=2) * hidden
    heads = keys.whole("mamba_num_heads", "mamba_n_heads")
    if heads is None and keys.text("model_type") == "mamba2":
        heads = keys.size("num_heads")
    if heads is None:
        rank = keys.get("mamba_dt_rank", "time_step_rank")
        low = -(-hidden // 16) if rank in (None, "auto") else keys.size("mamba_dt_rank", "time_step_rank")
        return StateSpace(inner, 1, state, 1, width, rank=low)
    said = keys.get(
        "mamba_head_dim", "mamba_d_head", "head_dim" if keys.text("model_type") == "mamba2" else "mamba_head_dim"
    )
    head_dim = inner // heads if said in (None, "auto") else keys.size("mamba_head_dim", "mamba_d_head", "head_dim")
    return StateSpace(heads, head_dim, state, keys.size("n_groups", "mamba_n_groups", default=1), width)
