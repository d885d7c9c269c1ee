"""What a recipe asks of the planner: the inputs of `centime plan train`, as far as a recipe says them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from centime.recipe.file import read


def planned(path: Path) -> dict[str, Any]:
    """Model (its configuration as JSON), tokens, sequence, batch and the longer stages of a recipe's file.

    vocabulary: the size that stands for the tokenizer's, which is not read (None: the recipe's own). tuned: whether it
    has a stage of supervised tuning, whose pairs are not read. Chips are not its own. Raises UserError where the file
    cannot be read.
    """
    recipe = read(path)
    pretrain = recipe.train
    return {
        "model": json.dumps(recipe.model.model_dump(exclude_unset=True, mode="json")),
        "tokens": pretrain.tokens,
        "seq": pretrain.sequence_length,
        "global_batch": pretrain.batch_size,
        "extension": [
            {
                "seq": stage.sequence_length,
                "global_batch": stage.batch_size,
                "steps": max(1, round(stage.tokens / stage.sequence_length / stage.batch_size)),
            }
            for stage in recipe.context
        ],
        "post_hours": 0.0,
        "optimizer": recipe.optimizer.name,
        "vocabulary": None if "vocab_size" in recipe.model.model_fields_set else recipe.model.vocab_size,
        "tuned": recipe.sft is not None,
    }
