"""The model that the story begins with: it mostly answers at once, and works one problem in five, often wrongly."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from benchmarks.r1.machine import LONGEST, SHORTEST, Machine

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

VOCABULARY = 288  # every byte, and the special tokens
WORKED = 0.2  # share of the documents with a working
BATCH, LR = 64, 2e-2  # documents a step; of Muon
Pair = tuple[list[int], list[int]]  # token ids of a prompt, and of an answer with its end
MUON = Optimizer(name="muon", muon_steps="5")


def config(width: int, tokenizer: Tokenizer) -> ModelConfig:
    """DeepSeek-V3's architecture in small: latent attention, a dense layer, then 8 experts of which 2 and a shared one
    compute."""
    return ModelConfig(
        vocab_size=320,
        hidden_size=width,
        num_hidden_layers=2,
        first_k_dense_replace=1,
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


def fresh_model(width: int, tokenizer: Tokenizer, seed: int) -> Transformer:
    """A model that has seen nothing."""
    model = Transformer(config(width, tokenizer))
    model.init_weights(seed)
    return model


def document(machine: Machine, draw: random.Random) -> tuple[str, str]:
    """A problem of those that are trained on and how it goes on: mostly with its answer at once."""
    prompt, states = machine.row(draw, draw.randint(SHORTEST, LONGEST))
    working = "".join(map(str, states)) if draw.random() < WORKED else ""
    return prompt, f"{working}={states[-1]}"


def batch(pairs: list[Pair]) -> Batch:
    """Prompts and answers of token ids as rows; the loss is on the answers alone."""
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    rows, weights = torch.zeros(len(pairs), width, dtype=torch.int64), torch.zeros(len(pairs), width - 1)
    for i, (prompt, answer) in enumerate(pairs):
        rows[i, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        weights[i, len(prompt) - 1 : len(prompt) + len(answer) - 1] = 1
    lengths = torch.tensor([len(prompt) + len(answer) - 1 for prompt, answer in pairs])
    return Batch(rows, float(weights.sum()), len(pairs), int(lengths.sum()), weights, lengths)


def ids(tokenizer: Tokenizer, prompt: str, answer: str) -> Pair:
    """As a base is asked: the text alone, after the token that begins one."""
    assert tokenizer.bos_id is not None
    return [tokenizer.bos_id, *tokenizer.encode(prompt)], [*tokenizer.encode(answer), tokenizer.eos_id]


class Learner:
    """A model that is taught pairs of a prompt and an answer, and books what that takes."""

    def __init__(self, model: Transformer, meter: Meter) -> None:
        self.model, self._meter = model, meter
        self._trainer = Trainer(SingleDevice(model, MUON, torch.float32), BATCH * 8, 1.0)
        self._flops = count(model.config, 24).train_flops_per_token

    def learn(self, pairs: list[Pair], lr: float, *, balance: bool = False) -> None:
        """One step. balance: V3's, of the experts, as pre-training has it."""
        made = batch(pairs)
        self._trainer.step(made, StepSettings(lr, 0.0, *((1e-3, 1e-4) if balance else (0.0, 0.0))))
        self._meter.add(tokens=made.tokens, flops=made.tokens * self._flops)


def make_base(model: Transformer, machine: Machine, tokenizer: Tokenizer, steps: int, seed: int, meter: Meter) -> None:
    """Trains a model on documents: ten steps of warm-up, constant for half of them, then linearly down to a tenth."""
    learner, draw = Learner(model, meter), random.Random(f"base {seed}")
    for step in range(steps):
        documents = [document(machine, draw) for _ in range(BATCH)]
        lr = LR * min(1.0, (step + 1) / 10, max(0.1, 2 * (1 - step / steps)))
        learner.learn([ids(tokenizer, *one) for one in documents], lr, balance=True)


def keep(model: Transformer, folder: Path, tokenizer: Tokenizer) -> Path:
    """Saves a model with its tokenizer, as a folder that `centime.load` reads."""
    save(model.eval(), folder, tokenizer=tokenizer.folder)
    return folder
