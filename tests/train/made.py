"""A corpus, a recipe and a command line small enough that a whole run takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.recipe import Optimizer
from centime.train.engine import SingleDevice, Trainer
from centime.train.forecast import timing
from centime.train.run import command as train_command
from centime.train.run import samples
from centime.train.stages import Batch, StepSettings

CONFIG = ModelConfig(
    vocab_size=96,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=8,
    intermediate_size=48,
    moe_intermediate_size=16,
    n_routed_experts=5,
    num_experts_per_tok=2,
    num_nextn_predict_layers=1,
    initializer_range=0.05,
)
SETTINGS = StepSettings(lr=3e-3, mtp_weight=0.3, bias_speed=1e-3, balance_weight=1e-2)

RECIPE = """
name = "small"
[model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
kv_lora_rank = 16
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 48
moe_intermediate_size = 16
n_routed_experts = 4
num_experts_per_tok = 2
num_nextn_predict_layers = 1
initializer_range = 0.05
[data]
tokenizer = "{corpus}/tokenizer"
train = [{{ path = "{corpus}/train" }}]
held_out = [{{ path = "{corpus}/holdout" }}]
[train]
tokens = 4096
sequence_length = 32
batch_size = 8
batch_size_start = 4
batch_ramp_until = 0.3
lr = 3e-3
warmup_steps = 3
[context]
tokens = 1024
sequence_length = 64
batch_size = 4
lr = 1e-3
[sft]
data = "{corpus}/pairs.jsonl"
sequence_length = 64
batch_size = 8
epochs = 2
lr = 1e-3
[run]
checkpoint_every = 4
evaluate_every = 5
evaluate_rows = 4
tensorboard = false
"""


def model(seed: int = 0, config: ModelConfig = CONFIG) -> Transformer:
    """CONFIG's model with weights of a seed."""
    made = Transformer(config)
    made.init_weights(seed)
    return made


def trainer(
    optimizer: str = "adamw",
    dtype: torch.dtype = torch.float32,
    micro_batch: int = 8,
    config: ModelConfig = CONFIG,
    clip: float = 1.0,
) -> Trainer:
    """A trainer over a fresh model."""
    return Trainer(SingleDevice(model(config=config), Optimizer(name=optimizer), dtype), micro_batch, clip)  # type: ignore[arg-type]


def batch(seed: int = 0, count: int = 8, length: int = 24, config: ModelConfig = CONFIG) -> Batch:
    """Counting sequences, which a model learns within steps."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(0, config.vocab_size, (count, 1), generator=generator)
    width = length + 1 + config.num_nextn_predict_layers
    rows = (start + torch.arange(width)) % config.vocab_size
    return Batch(rows, loss_tokens=count * length, sequences=count, tokens=count * length)


def write_recipe(folder: Path, corpus: Path, text: str = RECIPE) -> Path:
    """RECIPE over a corpus, as a file."""
    path = folder / "recipe.toml"
    path.write_text(text.format(corpus=corpus))
    return path


def train(recipe: Path, folder: Path | None, *settings: str, **options: Any) -> int:
    """`centime train` in this process; its exit code.

    Steps are timed for a moment and samples are of a few tokens: the two would take half as long as the run.
    """
    stated = {"resume": False, "budget": None, "price": "$1/h"} | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "WARM_UP", 0 if stated["budget"] is None else 1)
        patch.setattr(timing, "SHARE", 0.02)
        patch.setattr(samples, "LENGTH", 6)
        return train_command.train(recipe, list(settings), folder, **stated).code


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[tuple[str, int, float]]:
    """(stage, step, loss) of every step of a run, evaluations as (stage, -step, loss)."""
    return [
        (line["stage"], line["step"], line["loss"])
        if "loss" in line
        else (line["stage"], -line["step"], line["eval_loss"])
        for line in metrics(folder)
    ]
