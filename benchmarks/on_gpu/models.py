"""Whole steps: training as a share of the GEMM peak, decoding as a share of a plain read of the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.plan.counts import count
from centime.recipe import Optimizer
from centime.serve.engine.decode_graphs import GraphedModelRunner
from centime.serve.engine.model_runner import ModelRunner
from centime.serve.kv_cache.paged_cache import Pages, TokenSpan
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings
from on_gpu.timing import clock

# 2.0 B parameters, 0.5 B of them active: DeepSeek-V2-Lite's layers, ten of them, with half of its experts.
MODEL = ModelConfig(
    vocab_size=32000,
    hidden_size=2048,
    num_hidden_layers=10,
    num_attention_heads=16,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    intermediate_size=8192,
    moe_intermediate_size=1024,
    n_routed_experts=32,
    n_shared_experts=2,
    num_experts_per_tok=4,
)


class Sizes(NamedTuple):
    """Of what is timed: a training step's sequences and their tokens, answers at once, tokens of their past."""

    sequences: int
    sequence: int
    together: tuple[int, ...]
    context: int


SIZES = {"cuda": Sizes(8, 2048, (1, 256), 1024), "cpu": Sizes(1, 32, (1, 2), 8)}


def training(config: ModelConfig, device: str, steps: int, peak: float) -> dict[str, Any]:
    """tokens/s and share of the measured bf16 GEMM peak of whole training steps."""
    model = Transformer(config)
    model.init_weights(0)
    sequences, sequence = SIZES[device][:2]
    trainer = Trainer(SingleDevice(model.to(device), Optimizer(), torch.bfloat16), micro_batch=sequences, clip=1.0)
    rows = torch.randint(config.vocab_size, (sequences, sequence + 1), generator=torch.Generator().manual_seed(0))
    tokens = sequences * sequence
    batch = Batch(rows, loss_tokens=tokens, sequences=sequences, tokens=tokens)
    settings = StepSettings(lr=1e-4, mtp_weight=0.0, bias_speed=1e-3, balance_weight=1e-4)
    seconds = clock(lambda: trainer.step(batch, settings), device, steps)
    counts = count(config, sequence)
    return {
        "parameters": counts.total_params,
        "tokens_per_s": tokens / seconds,
        "share_of_gemm_peak": tokens * counts.train_flops_per_token / seconds / peak,
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
    }


def decoding(config: ModelConfig, device: str, steps: int, read: float) -> dict[str, Any]:
    """tokens/s of one answer and of many at once, each with its past; the first beside the read bound."""
    model = Transformer(config)
    model.init_weights(0)
    model = model.to(device, torch.bfloat16).eval()
    found: dict[str, Any] = {}
    context = SIZES[device].context
    for together in SIZES[device].together:
        blocks = -(-(context + 1) // 32)
        pages = Pages(config, 1 + together * blocks, 32, torch.bfloat16, device, drafts=False)
        kind = GraphedModelRunner if device == "cuda" else ModelRunner
        runner = kind(model, pages, config.vocab_size)
        spans = [TokenSpan(range(1 + i * blocks, 1 + (i + 1) * blocks), context, 1) for i in range(together)]
        tokens = [7 * i % config.vocab_size for i in range(together)]

        def step(runner: ModelRunner = runner, spans: list[TokenSpan] = spans, tokens: list[int] = tokens) -> None:
            runner.logits(runner.hidden(spans, tokens)).argmax(-1)

        found[f"tokens_per_s_at_{together}"] = together / clock(step, device, steps)
    counts = count(config, context)
    active = 2 * (counts.active_params - config.vocab_size * config.hidden_size)  # of the embedding one row is read
    found["share_of_read_bound_at_1"] = found["tokens_per_s_at_1"] * active / read
    return found


def transformers_decoding(config: ModelConfig, device: str, steps: int) -> float | None:
    """tokens/s of the same model in transformers, 256 at once over an empty past; None where it is not installed."""
    try:
        from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
    except ImportError:
        return None
    known = DeepseekV3Config().to_dict()
    values = {name: value for name, value in config.model_dump(exclude_none=True).items() if name in known}
    with torch.device(device):
        model = DeepseekV3ForCausalLM(DeepseekV3Config(**values)).to(torch.bfloat16).eval()
    ids = torch.zeros(256, 1, dtype=torch.int64, device=device)
    with torch.inference_mode():
        cache = model(ids, use_cache=True).past_key_values
        return 256 / clock(lambda: model(ids, past_key_values=cache, use_cache=True), device, steps)
