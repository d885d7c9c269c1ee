"""Models of a few thousand parameters in every shape that a folder holds."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.catalogue.presets import preset
from centime.model import Transformer
from centime.plan.counts.baseline import dense_baseline

TINY = ModelConfig(
    vocab_size=40,
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    kv_lora_rank=12,
    qk_nope_head_dim=6,
    qk_rope_head_dim=4,
    v_head_dim=10,
    intermediate_size=20,
    moe_intermediate_size=14,
    n_routed_experts=3,
    num_experts_per_tok=2,
)


def tiny(**changes: object) -> ModelConfig:
    return ModelConfig.model_validate(TINY.model_dump() | changes)


SHAPES = {
    "v3": TINY,
    "q_lora": tiny(q_lora_rank=8),
    "v2": tiny(scoring_func="softmax", topk_method="greedy", norm_topk_prob=False),
    "mtp": tiny(num_nextn_predict_layers=2),
    "tied": tiny(tie_word_embeddings=True, num_nextn_predict_layers=1),
    "yarn": tiny(rope_scaling=YarnScaling(factor=4)),
    "no shared": tiny(n_shared_experts=0),
    "no dense layer": tiny(first_k_dense_replace=0),
    "dense MLA": tiny(n_routed_experts=None),
    "dense baseline": dense_baseline(preset("centime-d2", vocab_size=32)),
}


def build(config: ModelConfig, seed: int = 0) -> Transformer:
    """A model whose every number differs from its neighbours, routing bias and norms included."""
    model = Transformer(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model


def assert_same(one: Transformer, other: Transformer) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def rewrite(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors")
