"""What is compared: two models that cost the same a token, on the same text.

The mixture is DeepSeek's architecture at the size of an hour on one core: latent attention, 64 experts of which a token
visits 2, one shared expert, the correction bias. The dense model is plain multi-head attention and one
SwiGLU a layer, widened until a training token costs the same FLOPs; depth, width, heads and vocabulary are equal.
"""

from __future__ import annotations

import math
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.model_config import ModelConfig
from centime.data.shards.prepare import Preparation, prepare
from centime.data.sources import ReadOptions, Sources
from centime.data.tokenizers.training import train_on_sources
from centime.plan.counts import Counts, count
from centime.plan.counts.baseline import dense_baseline

ARMS = ("dense", "mixture")
SEQUENCE = 128
VOCABULARY = 512
HELD_OUT = 0.03  # of the files
WIDTH, LAYERS, HEADS, EXPERTS, CHOSEN = 64, 2, 2, 64, 2
ROPE_THETA = 300.0  # 10,000 is for 4,096 positions; at 128 most of its frequencies would stand still


@dataclass(frozen=True)
class Arm:
    """One of the two models with its counts at SEQUENCE tokens."""

    name: str
    config: ModelConfig
    counts: Counts

    @property
    def flops_per_token(self) -> float:
        return self.counts.train_flops_per_token


def mixture_config() -> ModelConfig:
    """Latent attention and experts; no dense layer in front: V3's 3 of 61 round to none of two."""
    expert = WIDTH
    return ModelConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        kv_lora_rank=WIDTH // 2,
        qk_nope_head_dim=32,
        qk_rope_head_dim=32,
        v_head_dim=32,
        intermediate_size=(CHOSEN + 1) * expert,
        moe_intermediate_size=expert,
        n_routed_experts=EXPERTS,
        n_shared_experts=1,
        num_experts_per_tok=CHOSEN,
        first_k_dense_replace=0,
        routed_scaling_factor=math.sqrt(CHOSEN),
        initializer_range=round(0.5 / math.sqrt(WIDTH), 4),
        max_position_embeddings=SEQUENCE,
        rope_theta=ROPE_THETA,
    )


def arms() -> dict[str, Arm]:
    """Both models by name; raises ValueError should their FLOPs differ by 10 % or more."""
    mixture = mixture_config()
    dense = dense_baseline(mixture, SEQUENCE)
    found = {
        name: Arm(name, config, count(config, SEQUENCE)) for name, config in zip(ARMS, (dense, mixture), strict=True)
    }
    apart = found["mixture"].flops_per_token / found["dense"].flops_per_token - 1
    if abs(apart) >= 0.1:
        raise ValueError(f"a token of the mixture costs {apart:+.0%} of the dense model's; expected within 10 %")
    return found


def prepare_text(folder: Path) -> Path:
    """Tokenise this Python's standard library, tests included (30 MB of code), once; returns the shards' folder."""
    shards = folder / f"data-{VOCABULARY}"
    if not shards.exists():
        excluded = ["*site-packages*", "*dist-packages*"]
        sources = Sources([sysconfig.get_path("stdlib") + "/**/*.py"], ReadOptions(undecodable="skip"), excluded)
        tokenizer = folder / f"tokenizer-{VOCABULARY}"
        train_on_sources(sources, VOCABULARY, tokenizer, holdout=HELD_OUT, overwrite=True)  # of training files alone
        prepare(sources, tokenizer, shards, Preparation(holdout=HELD_OUT))
    return shards
