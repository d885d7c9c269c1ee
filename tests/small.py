"""A tokenizer and a model small enough to make anew in a test, for tests/serve and tests/evaluate."""

from __future__ import annotations

from pathlib import Path

import torch

from centime.catalogue.model_config import ModelConfig
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.model import Transformer
from centime.model.checkpoint import save

WORDS = "the cat sat on the mat and the dog ate the hat é ü 猫は眠る 🙂 0123456789 + = def f(x): return x\n"


def small_tokenizer(folder: Path) -> Tokenizer:
    """A byte-level BPE of 300 ids with the chat template, trained on a line."""
    write_tokenizer(train_tokenizer([WORDS * 20], 300), folder)
    return load_tokenizer(folder)


def small_config(vocab_size: int, positions: int = 64) -> ModelConfig:
    """V3-style: MLA, one dense and one MoE layer."""
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        intermediate_size=64,
        moe_intermediate_size=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        initializer_range=0.3,  # far from uniform, so that greedy and sampled answers differ
        max_position_embeddings=positions,
    )


def small_model(tokenizer: Tokenizer, positions: int = 64, seed: int = 0, mtp: int = 0) -> Transformer:
    """Random weights, evaluation mode. mtp: modules that guess."""
    config = small_config(tokenizer.vocab_size, positions).model_copy(update={"num_nextn_predict_layers": mtp})
    with torch.device("cpu"):
        model = Transformer(config)
    model.init_weights(seed)
    return model.eval()


def small_grouped_model(tokenizer: Tokenizer, positions: int = 64, seed: int = 0, **changes: object) -> Transformer:
    """Qwen3's kind of decoder: two query heads a key head, norms of heads, one matrix for embedding and head."""
    plain = {"kv_lora_rank": None, "qk_nope_head_dim": 0, "n_routed_experts": None, "n_shared_experts": None}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "qk_norm": True, "rope_interleave": False}
    fields = small_config(tokenizer.vocab_size, positions).model_dump() | plain | heads | {"tie_word_embeddings": True}
    model = Transformer(ModelConfig.model_validate(fields | changes))
    model.init_weights(seed)
    return model.eval()


def small_folder(folder: Path, positions: int = 64) -> Path:
    """A model folder with its tokenizer, as `centime train` leaves one."""
    tokenizer = small_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    save(small_model(tokenizer, positions), folder, tokenizer=tokenizer.folder)
    return folder
