"""The training benchmark's shape, data and FLOP count: every stack is timed on this same work.

20.9 M parameters, 8.1 M of them active in matrix products, 2,048 tokens a step at either sequence length.
Sizes in comments: D hidden, H heads, L latent, R rope dim, E experts, K top-k, F expert width, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

SHAPE: dict[str, object] = {
    "vocab_size": 4096,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "kv_lora_rank": 64,
    "q_lora_rank": None,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
}
BATCH = {256: 8, 1024: 2}  # sequence length -> sequences a step
if os.environ.get("CENTIME_SMOKE") == "1":  # the same path with little work
    BATCH = {256: 2, 1024: 1}
    SHAPE |= {"num_hidden_layers": 2, "n_routed_experts": 8}
INITIALIZER_RANGE = 0.02  # of every matrix, the same draw for every stack
LEARNING_RATE, BETAS, WEIGHT_DECAY, CLIP = 3e-4, (0.9, 0.95), 0.1, 1.0


def active_matmul_params() -> int:
    """Parameters that multiply each token: attention, its experts (shared and routed), router and head."""
    s: dict[str, int] = SHAPE  # type: ignore[assignment]
    d, h, layers, dense = s["hidden_size"], s["num_attention_heads"], s["num_hidden_layers"], s["first_k_dense_replace"]
    nope, rope, value, latent = s["qk_nope_head_dim"], s["qk_rope_head_dim"], s["v_head_dim"], s["kv_lora_rank"]
    attention = d * h * (nope + rope) + d * (latent + rope) + latent * h * (nope + value) + h * value * d
    chosen = s["num_experts_per_tok"] + s["n_shared_experts"]
    experts = 3 * d * s["moe_intermediate_size"] * chosen + d * s["n_routed_experts"]
    feed_forward = dense * 3 * d * s["intermediate_size"] + (layers - dense) * experts
    return layers * attention + feed_forward + s["vocab_size"] * d


def flops_per_token(sequence: int) -> int:
    """Model FLOPs of one trained token: 6 a matmul parameter, and causal attention once (forward 2, backward 4)."""
    s: dict[str, int] = SHAPE  # type: ignore[assignment]
    per_pair = s["qk_nope_head_dim"] + s["qk_rope_head_dim"] + s["v_head_dim"]
    return 6 * active_matmul_params() + 6 * s["num_hidden_layers"] * s["num_attention_heads"] * per_pair * sequence // 2


def batches(sequence: int, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (inputs, targets), each [batch, sequence]: arithmetic progressions modulo 512, soon learnt."""
    step = 0
    while True:
        draw = torch.Generator().manual_seed(step)
        start = torch.randint(0, 512, (batch, 1), generator=draw)
        stride = torch.randint(1, 8, (batch, 1), generator=draw)
        tokens = (start + stride * torch.arange(sequence + 1)) % 512
        yield tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        step += 1
