"""The model that is served: DeepSeek-V3's architecture, 727 M parameters, 209 M read per token, random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from centime.catalogue.model_config import ModelConfig
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.model import Transformer
from centime.model.checkpoint import save

VOCABULARY = 32_768
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "moe_intermediate_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "n_shared_experts": 1,
    "n_routed_experts": 32,
    "routed_scaling_factor": 2.5,
    "kv_lora_rank": 512,
    "q_lora_rank": 384,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "qk_nope_head_dim": 128,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 4,
    "first_k_dense_replace": 1,
    "norm_topk_prob": True,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "max_position_embeddings": 8192,
    "initializer_range": 0.02,
}


def write(folder: Path) -> Path:
    """The folder, made if it is not there: bf16 weights and a byte-level tokenizer, of fewer ids than the model."""
    if not (folder / "config.json").exists():
        config = ModelConfig.model_validate(SHAPE)
        model = Transformer(config)
        model.init_weights(seed=0)
        tokenizer = folder.parent / f"{folder.name}-tokenizer"
        text = "\n".join(f"the {n} cats and dogs of {n * n}" for n in range(2000))
        write_tokenizer(train_tokenizer([text], 512), tokenizer)
        save(model.to(torch.bfloat16), folder, tokenizer=tokenizer)
    return folder
