"""The odd configurations that peers are compared on, and models of them away from any symmetry."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.catalogue.presets import preset
from centime.model import Transformer
from centime.plan.counts.baseline import dense_baseline

V3: dict[str, Any] = {
    "vocab_size": 73,
    "hidden_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 14,
    "intermediate_size": 52,
    "moe_intermediate_size": 18,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "routed_scaling_factor": 2.5,
    "initializer_range": 0.2,  # large enough that attention and routing matter to every logit
}
V2 = V3 | {"hidden_size": 42, "scoring_func": "softmax", "topk_method": "greedy", "norm_topk_prob": False}
YARN = YarnScaling(factor=8, original_max_position_embeddings=16, beta_fast=4, beta_slow=1)
V2_YARN = YarnScaling(factor=40, original_max_position_embeddings=8, mscale=0.707, mscale_all_dim=0.707)

CONFIGS = {
    "V3": V3,
    "V3, compressed query": V3 | {"q_lora_rank": 12},
    "V3, YaRN": V3 | {"rope_scaling": YARN, "max_position_embeddings": 128},
    "V3, YaRN of unequal slopes": V3 | {"rope_scaling": YARN.model_copy(update={"mscale": 0.5, "mscale_all_dim": 1.3})},
    "V3, YaRN without softmax correction": V3 | {"rope_scaling": YARN.model_copy(update={"mscale_all_dim": 0.0})},
    "V3, no groups": V3 | {"n_group": 1, "topk_group": 1, "n_shared_experts": 2},
    "V3, three experts": V3 | {"n_routed_experts": 3, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "V3, no dense layer": V3 | {"first_k_dense_replace": 0, "norm_topk_prob": False},
    "V3, value heads wider than key heads": V3 | {"v_head_dim": 23, "qk_nope_head_dim": 5, "qk_rope_head_dim": 4},
    "V3, halves rotated": V3 | {"rope_interleave": False, "rope_scaling": YARN},
    "V3, tied": V3 | {"tie_word_embeddings": True, "rope_theta": 500.0},
    "V3, no experts": V3 | {"n_routed_experts": None, "n_shared_experts": None},
    "V2-Lite": V2 | {"n_group": 1, "topk_group": 1, "rope_scaling": V2_YARN},
    "V2": V2 | {"topk_method": "group_limited_greedy", "q_lora_rank": 16, "routed_scaling_factor": 16.0},
    "V2, YaRN, two shared experts": V2
    | {
        "topk_method": "group_limited_greedy",
        "rope_scaling": V2_YARN,
        "n_shared_experts": 2,
        "first_k_dense_replace": 2,
    },
    "V2, YaRN of unequal slopes": V2 | {"rope_scaling": V2_YARN.model_copy(update={"mscale_all_dim": 1.0})},
    "dense": dense_baseline(preset("centime-d2", vocab_size=73, initializer_range=0.1)).model_dump(),
    "dense, YaRN": dense_baseline(
        preset("centime-d2", vocab_size=73, initializer_range=0.1, rope_scaling=V2_YARN)
    ).model_dump(),
}

PLAIN: dict[str, Any] = {
    "vocab_size": 73,
    "hidden_size": 30,
    "num_hidden_layers": 2,
    "kv_lora_rank": None,
    "qk_nope_head_dim": 0,
    "n_routed_experts": None,
    "n_shared_experts": None,
    "intermediate_size": 37,
    "initializer_range": 0.2,
    "rope_interleave": False,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}


def grouped(heads: int, kv_heads: int, head_dim: int, **more: Any) -> dict[str, Any]:
    """A dense decoder with grouped queries; each of the sizes odd to the others."""
    sizes = {"num_attention_heads": heads, "num_key_value_heads": kv_heads}
    return PLAIN | sizes | {"qk_rope_head_dim": head_dim, "v_head_dim": head_dim} | more


CONFIGS |= {
    "Llama": grouped(6, 2, 8),
    "Llama, one key head, tied, its scaling": grouped(5, 1, 6, rope_scaling=LLAMA3, tie_word_embeddings=True),
    "Llama, biases, linear scaling": grouped(
        6, 3, 10, qkv_bias=True, out_bias=True, rope_scaling={"rope_type": "linear", "factor": 3.0}
    ),
    "Llama, YaRN": grouped(10, 5, 4, rope_scaling=YARN, rms_norm_eps=1e-5),
    "Qwen2, tied": grouped(6, 3, 4, qkv_bias=True, tie_word_embeddings=True, rope_theta=1e6),
    "Qwen2, YaRN": grouped(3, 1, 10, qkv_bias=True, rope_scaling=YARN),
    "Qwen3": grouped(7, 1, 4, qk_norm=True, rms_norm_eps=1e-3),
    "Qwen3, biases": grouped(4, 2, 12, qk_norm=True, qkv_bias=True, out_bias=True, rope_theta=500.0),
}


def ours(fields: dict[str, Any], seed: int = 0) -> Transformer:
    """A model away from any symmetry: random norms, a routing bias that matters, logits of size one."""
    model = Transformer(ModelConfig.model_validate(fields))
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name:
                tensor.copy_(1 + 0.3 * torch.randn(tensor.shape, generator=generator))
            elif "bias" in name:
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
            elif "router" in name:
                tensor.mul_(3)  # scores far enough apart that rounding decides no choice
    return model


def tokens(config: ModelConfig) -> Tensor:
    return torch.randint(config.vocab_size, (2, 33), generator=torch.Generator().manual_seed(7))


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest number."""
    with torch.no_grad():
        return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
