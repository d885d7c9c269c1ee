"""A model that has learned a little of chains, and a recipe small enough that a run of reinforcement takes seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from tests.train.made import CONFIG, train

from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.model import Transformer
from centime.model.checkpoint import save
from centime.recipe import Optimizer
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings
from centime.tune.stage import every_kind

RECIPE = """
name = "small"
[model]
from = "{start}"
[rl]
steps = 6
prompts = 4
samples = 4
max_tokens = 5
lr = 1e-3
evaluate_every = 3
[rl.problems]
source = "chains"
chat = false
easiest = 1
hardest = 2
held_out_count = 6
[run]
precision = "fp32"
checkpoint_every = 2
tensorboard = false
"""


def tokenizer(folder: Path) -> Tokenizer:
    """A token a character."""
    write_tokenizer(train_tokenizer(["0123456789"], 288), folder)
    return load_tokenizer(folder)


def start(folder: Path, steps: int = 30) -> Path:
    """A folder of a model that answers "=" and a digit, mostly, and guesses which."""
    made = tokenizer(folder.parent / "tokenizer")
    config = CONFIG.model_copy(
        update={
            **{"vocab_size": 320, "num_nextn_predict_layers": 0, "num_hidden_layers": 1, "max_position_embeddings": 64},
            **{"bos_token_id": made.bos_id, "eos_token_id": made.eos_id},
        }
    )
    model = Transformer(config)
    model.init_weights(0)
    trainer = Trainer(SingleDevice(model, Optimizer(), torch.float32), 64, 1.0)
    draw = random.Random(0)
    for _ in range(steps):
        texts = [f"{draw.randrange(10)}+{draw.randrange(10)}:={draw.randrange(10)}" for _ in range(32)]
        rows = torch.tensor([[made.bos_id or 0, *made.encode(text), made.eos_id] for text in texts])
        tokens = rows[:, 1:].numel()
        trainer.step(Batch(rows, tokens, len(rows), tokens), StepSettings(1e-2, 0.0, 0.0, 0.0))
    save(model.eval(), folder, tokenizer=made.folder)
    return folder


def write_recipe(folder: Path, start_from: Path, text: str = RECIPE) -> Path:
    """RECIPE from those weights, as a file."""
    path = folder / "recipe.toml"
    path.write_text(text.format(start=start_from))
    return path


def reinforce(recipe: Path, settings: list[str], folder: Path, **options: Any) -> dict[str, Any]:
    """`centime train` of a recipe of reinforcement, its steps timed for a moment; the record of its last step."""
    assert train(recipe, folder, *settings, kinds=every_kind(), **options) == 0
    return [line for line in lines(folder) if "loss" in line][-1]


def lines(folder: Path) -> list[dict[str, Any]]:
    """A run's metrics without what depends on the clock."""
    clock = {
        *("seconds", "rollout_seconds", "update_seconds", "tokens_per_s", "seconds_left", "mfu"),
        *("cost", "cost_per_point", "projected_cost"),
    }
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in clock} for line in found]


def booked(folder: Path) -> dict[str, Any]:
    """The run's bill."""
    with Book() as book:
        return bill_of(book, str(folder)).as_json()


def assert_none_twice(found: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    """No answer is drawn and graded twice on a run's bill: its lines have an undisturbed one's tokens, or fewer."""
    own, other = ({line["stage"]: line["tokens"] for line in bill["lines"]} for bill in (found, undisturbed))
    drawn = [stage for stage in other if stage.startswith(("rollout", "evaluate"))]
    assert drawn
    assert all(0 < own[stage] <= other[stage] for stage in drawn), (own, other)
