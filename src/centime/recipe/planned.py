"""What a recipe asks of the planner: the inputs of `centime plan train`, as far as a recipe says them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.recipe.file import read
from centime.recipe.stages import Context, Pretrain, Sft


def planned(path: Path) -> dict[str, Any]:
    """Model (its configuration as JSON), tokens, sequence, batch and the longer stages of a recipe's file.

    vocabulary: the size that stands for the tokenizer's, which is not read (None: the recipe's own). tuned: whether it
    has a stage of supervised tuning, whose pairs are not read. Chips are not its own. Raises UserError where the file
    cannot be read, or begins otherwise.
    """
    recipe = read(path)
    sections = [section for _, section in recipe.stages]
    pretrain = sections[0]
    if not isinstance(pretrain, Pretrain) or recipe.start is not None:
        raise UserError(
            f"{path} does not begin with a pre-training from random weights, which is what `centime plan train` plans; "
            f"`centime train {path}` says what it will take before its first step."
        )
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
            for stage in sections
            if isinstance(stage, Context)
        ],
        "post_hours": 0.0,
        "optimizer": recipe.optimizer.name,
        "vocabulary": None if "vocab_size" in recipe.model.model_fields_set else recipe.model.vocab_size,
        "tuned": any(isinstance(section, Sft) for section in sections),
    }
