"""The same tensors under two sets of names: centime's stacked parameters and DeepSeek's checkpoint layout.

DeepSeek (and Llama and Qwen, which add biases and norms of heads alone) stores every expert's three matrices apart,
gate and up projections apart, and MTP module k as layer N + k with copies of the embedding and the head (DeepSeek-V3,
README_WEIGHTS).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from centime.catalogue.model_config import ModelConfig


@dataclass(frozen=True)
class Slot:
    """One tensor on disk and the place it has in a Transformer: `state[ours][index]`."""

    disk: str
    ours: str
    index: tuple[int, ...] = ()


def slots(config: ModelConfig) -> Iterator[Slot]:
    """Every tensor of a checkpoint of `config`, embedding first, then layer by layer, each exactly once."""
    yield Slot("model.embed_tokens.weight", "embed.weight")
    for layer in range(config.num_hidden_layers):
        yield from _layer(config, layer, f"layers.{layer}")
    yield Slot("model.norm.weight", "norm.weight")
    if not config.tie_word_embeddings:
        yield Slot("lm_head.weight", "head.weight")
    for module in range(config.num_nextn_predict_layers):
        disk, ours = f"model.layers.{config.num_hidden_layers + module}", f"mtp.{module}"
        yield Slot(f"{disk}.enorm.weight", f"{ours}.embed_norm.weight")
        yield Slot(f"{disk}.hnorm.weight", f"{ours}.hidden_norm.weight")
        yield Slot(f"{disk}.eh_proj.weight", f"{ours}.project.weight")
        yield from _layer(config, config.num_hidden_layers + module, f"{ours}.block")
        yield Slot(f"{disk}.shared_head.norm.weight", f"{ours}.norm.weight")


def copies(config: ModelConfig) -> Iterator[Slot]:
    """Tensors that repeat another: each MTP module's embedding and head, which are the main model's."""
    head = "embed.weight" if config.tie_word_embeddings else "head.weight"
    for module in range(config.num_nextn_predict_layers):
        disk = f"model.layers.{config.num_hidden_layers + module}"
        yield Slot(f"{disk}.embed_tokens.weight", "embed.weight")
        yield Slot(f"{disk}.shared_head.head.weight", head)


def stacked_experts(config: ModelConfig) -> Iterator[Slot]:
    """A layer's experts in two tensors, as transformers writes them when asked not to split, in place of `slots`'s.

    On disk `gate_up_proj` is [E, 2F, D]; ours is [E, 2, F, D], the same bytes.
    """
    for layer in range(config.num_hidden_layers):
        if config.layer_has_experts(layer):
            disk, ours = f"model.layers.{layer}.mlp.experts", f"layers.{layer}.ffn.experts"
            yield Slot(f"{disk}.gate_up_proj", f"{ours}.gate_up")
            yield Slot(f"{disk}.down_proj", f"{ours}.down")


def _layer(config: ModelConfig, layer: int, ours: str) -> Iterator[Slot]:
    disk = f"model.layers.{layer}"
    yield Slot(f"{disk}.input_layernorm.weight", f"{ours}.attention_norm.weight")
    for there, here in _attention(config):
        yield Slot(f"{disk}.self_attn.{there}", f"{ours}.attention.{here}")
    yield Slot(f"{disk}.post_attention_layernorm.weight", f"{ours}.ffn_norm.weight")
    if not config.layer_has_experts(layer):
        yield from _feed_forward(f"{disk}.mlp", f"{ours}.ffn")
        return
    yield Slot(f"{disk}.mlp.gate.weight", f"{ours}.ffn.router.weight")
    if config.topk_method == "noaux_tc":
        bias = "e_score_correction_bias"
        yield Slot(f"{disk}.mlp.gate.{bias}", f"{ours}.ffn.router.{bias}")
    for expert in range(config.n_routed_experts or 0):
        yield from _feed_forward(f"{disk}.mlp.experts.{expert}", f"{ours}.ffn.experts", (expert,))
    if config.shared_width:
        yield from _feed_forward(f"{disk}.mlp.shared_experts", f"{ours}.ffn.shared")


def _attention(config: ModelConfig) -> Iterator[tuple[str, str]]:
    if not config.is_mla:
        matrices = [("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v")]
        biased = [*(matrices if config.qkv_bias else []), *([("o_proj", "out")] if config.out_bias else [])]
        norms = [("q_norm", "q_norm"), ("k_norm", "k_norm")] if config.qk_norm else []
        yield from ((f"{there}.bias", f"{here}.bias") for there, here in biased)
    else:
        query = [("q_a_proj", "q_down"), ("q_a_layernorm", "q_norm"), ("q_b_proj", "q_up")]
        matrices = [("q_proj", "q")] if config.q_lora_rank is None else query
        norms = [("kv_a_proj_with_mqa", "kv_down"), ("kv_a_layernorm", "kv_norm"), ("kv_b_proj", "kv_up")]
    for there, here in (*matrices, *norms, ("o_proj", "out")):
        yield f"{there}.weight", f"{here}.weight"


def _feed_forward(disk: str, ours: str, index: tuple[int, ...] = ()) -> Iterator[Slot]:
    yield Slot(f"{disk}.gate_proj.weight", f"{ours}.gate_up", (*index, 0))
    yield Slot(f"{disk}.up_proj.weight", f"{ours}.gate_up", (*index, 1))
    yield Slot(f"{disk}.down_proj.weight", f"{ours}.down", index)
