"""The model that the story begins with: it answers at once, and has seen workings of short chains, of no long ones."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from centime.catalogue.model_config import ModelConfig
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.ledger import Meter
from centime.model import Transformer
from centime.model.checkpoint import save
from centime.plan.counts import count
from centime.recipe import Optimizer
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings
from centime.tune.problems.chains import chain, is_held_out

VOCABULARY = 288  # every byte, and the special tokens
HARDEST = 8  # steps of the longest chain that is asked
WORKED_UP_TO = 4  # steps of the longest whose working the base has seen
WORKED = 0.4  # of those, the share that was worked
BATCH, LR, MICRO = 64, 4e-3, 64


def config(width: int, layers: int, tokenizer: Tokenizer) -> ModelConfig:
    """DeepSeek-V3's architecture in small: latent attention, 8 experts of which 2 and a shared one compute."""
    return ModelConfig(
        vocab_size=320,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        kv_lora_rank=32,
        qk_nope_head_dim=16,
        qk_rope_head_dim=16,
        v_head_dim=16,
        intermediate_size=2 * width,
        moe_intermediate_size=width,
        n_routed_experts=8,
        num_experts_per_tok=2,
        num_nextn_predict_layers=0,
        max_position_embeddings=128,
        initializer_range=0.05,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
    )


def make_tokenizer(folder: Path) -> Tokenizer:
    """A token a character."""
    write_tokenizer(train_tokenizer(["0123456789"], VOCABULARY), folder)
    return load_tokenizer(folder)


def document(draw: random.Random, hardest: int = HARDEST) -> tuple[str, str]:
    """A chain and how it goes on: its result at once, or for some short ones the values on the way there."""
    while True:
        text, values = chain(draw, draw.randint(1, hardest))
        if not is_held_out(text):
            break
    if len(values) <= WORKED_UP_TO and draw.random() < WORKED:
        return f"{text}:", ",".join(map(str, values)) + f"={values[-1]}"
    return f"{text}:", f"={values[-1]}"


def batch(pairs: list[tuple[list[int], list[int]]]) -> Batch:
    """Prompts and answers of token ids as rows; the loss is on the answers alone."""
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    rows, weights = torch.zeros(len(pairs), width, dtype=torch.int64), torch.zeros(len(pairs), width - 1)
    for i, (prompt, answer) in enumerate(pairs):
        rows[i, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        weights[i, len(prompt) - 1 : len(prompt) + len(answer) - 1] = 1
    lengths = torch.tensor([len(prompt) + len(answer) - 1 for prompt, answer in pairs])
    return Batch(rows, float(weights.sum()), len(pairs), int(lengths.sum()), weights, lengths)


def ids(tokenizer: Tokenizer, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """As a base is asked: the text alone, after the token that begins one."""
    assert tokenizer.bos_id is not None
    return [tokenizer.bos_id, *tokenizer.encode(prompt)], [*tokenizer.encode(answer), tokenizer.eos_id]


def make_base(folder: Path, tokenizer: Tokenizer, seed: int, steps: int, width: int, meter: Meter) -> Path:
    """Trains the base on documents and saves it."""
    model = Transformer(config(width, 2, tokenizer))
    model.init_weights(seed)
    trainer = Trainer(SingleDevice(model, Optimizer(name="muon", muon_steps="5"), torch.float32), MICRO, 1.0)
    draw = random.Random(f"base {seed}")
    for step in range(steps):
        made = batch([ids(tokenizer, *document(draw)) for _ in range(BATCH)])
        trainer.step(made, schedule(step, steps, LR))
        meter.add(tokens=made.tokens, flops=made.tokens * count(model.config, 24).train_flops_per_token)
    save(model.eval(), folder, tokenizer=tokenizer.folder)
    return folder


def schedule(step: int, steps: int, lr: float) -> StepSettings:
    """Twenty steps of warm-up, constant for half of the run, then linearly down to a twentieth."""
    falling = min(1.0, max(0.05, 2 * (1 - step / steps)))
    return StepSettings(lr * min(1.0, (step + 1) / 20) * falling, 0.0, 1e-3, 1e-4)
