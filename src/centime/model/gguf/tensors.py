"""A model's tensors under llama.cpp's names and in its layouts.

Letters of shapes: H heads, L numbers of the latent, D the model's width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from centime.catalogue.model_config import Llama3Scaling, ModelConfig
from centime.model.decoder import Transformer
from centime.model.gguf.architecture import IN_PAIRS, architecture_of
from centime.model.rope import llama3_frequencies
from centime.ops.quantised import Quantised
from centime.ops.rope import inverse_frequencies

ROPE_FACTORS = "rope_freqs.weight"


def tensors_by_llama_cpp(model: Transformer, in_pairs: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Every tensor by llama.cpp's name; views of the model's own wherever the layout is the same.

    Quantised matrices are yielded as such, but for those that have another layout there: numbers in float32.
    in_pairs: the model's rows are, or are to be, in the order of llama.cpp's, so that all are views.
    """
    config, state = model.config, model.weights()
    if in_pairs or architecture_of(config) not in IN_PAIRS:
        config = config.model_copy(update={"rope_interleave": True})  # nothing to reorder
    yield "token_embd.weight", state["embed.weight"]
    yield "output_norm.weight", state["norm.weight"]
    if not config.tie_word_embeddings:
        yield "output.weight", state["head.weight"]
    if isinstance(config.rope_scaling, Llama3Scaling):
        yield ROPE_FACTORS, rope_factors(config, config.rope_scaling)
    attention = _latent_attention if config.is_mla else _plain_attention
    for layer in range(config.num_hidden_layers):
        inside = _inside(state, f"layers.{layer}.")
        yield f"blk.{layer}.attn_norm.weight", inside["attention_norm.weight"]
        yield f"blk.{layer}.ffn_norm.weight", inside["ffn_norm.weight"]
        for name, tensor in attention(config, _inside(inside, "attention.")):
            yield f"blk.{layer}.{name}", tensor
        for name, tensor in _feed_forward(_inside(inside, "ffn.")):
            yield f"blk.{layer}.{name}", tensor


def _inside(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _latent_attention(config: ModelConfig, state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    H, nope, L = config.num_attention_heads, config.qk_nope_head_dim, config.kv_lora_rank
    query = "attn_q" if config.q_lora_rank is None else "attn_q_b"
    weight = state["q.weight" if config.q_lora_rank is None else "q_up.weight"]
    yield f"{query}.weight", _pairs(config, weight, H, nope)
    if config.q_lora_rank is not None:
        yield "attn_q_a.weight", state["q_down.weight"]
        yield "attn_q_a_norm.weight", state["q_norm.weight"]
    yield "attn_kv_a_mqa.weight", _pairs(config, state["kv_down.weight"], 1, L or 0)
    yield "attn_kv_a_norm.weight", state["kv_norm.weight"]
    keys, values = plain(state["kv_up.weight"]).unflatten(0, (H, -1)).split([nope, config.v_head_dim], dim=1)
    yield "attn_k_b.weight", keys.transpose(1, 2)
    yield "attn_v_b.weight", values
    yield "attn_output.weight", state["out.weight"]


def _plain_attention(config: ModelConfig, state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, heads in (("q", config.num_attention_heads), ("k", config.kv_heads)):
        yield f"attn_{name}.weight", _pairs(config, state[f"{name}.weight"], heads, 0)
        if config.qkv_bias:
            yield f"attn_{name}.bias", _pairs(config, state[f"{name}.bias"], heads, 0)
        if config.qk_norm:
            yield f"attn_{name}_norm.weight", state[f"{name}_norm.weight"]
    for name, theirs in (("v", "attn_v"), ("out", "attn_output")):
        yield f"{theirs}.weight", state[f"{name}.weight"]
        if config.qkv_bias if name == "v" else config.out_bias:
            yield f"{theirs}.bias", state[f"{name}.bias"]


def rope_factors(config: ModelConfig, scaling: Llama3Scaling) -> Tensor:
    """What llama.cpp divides each frequency by, float32 [R/2]."""
    R, theta = config.qk_rope_head_dim, config.rope_theta
    return inverse_frequencies(R, theta) / llama3_frequencies(R, theta, scaling)


def _pairs(config: ModelConfig, weight: Tensor, heads: int, start: int) -> Tensor:
    """A matrix, or a bias, with each head's rows from `start` on in the order (2i, 2i+1) that llama.cpp rotates."""
    if config.rope_interleave:
        return weight
    by_heads = plain(weight).unflatten(0, (heads, -1))
    paired = by_heads[:, start:].unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    return torch.cat((by_heads[:, :start], paired), dim=1).flatten(0, 1)


def plain(weight: Tensor) -> Tensor:
    """A tensor, or the numbers that a quantised one stands for, float32."""
    return weight.dense(torch.float32) if isinstance(weight, Quantised) else weight


def _feed_forward(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    if "gate_up" in state:
        yield "ffn_gate.weight", state["gate_up"][0]
        yield "ffn_up.weight", state["gate_up"][1]
        yield "ffn_down.weight", state["down"]
        return
    yield "ffn_gate_inp.weight", state["router.weight"]
    if "router.e_score_correction_bias" in state:
        yield "exp_probs_b.bias", state["router.e_score_correction_bias"]
    yield "ffn_gate_exps.weight", state["experts.gate_up"][:, 0]
    yield "ffn_up_exps.weight", state["experts.gate_up"][:, 1]
    yield "ffn_down_exps.weight", state["experts.down"]
    if "shared.gate_up" in state:
        yield "ffn_gate_shexp.weight", state["shared.gate_up"][0]
        yield "ffn_up_shexp.weight", state["shared.gate_up"][1]
        yield "ffn_down_shexp.weight", state["shared.down"]
