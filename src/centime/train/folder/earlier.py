"""Runs of reinforcement that earlier versions began, by a loop of their own: what differs in their folders.

Their recipe.toml has an [rl] table as a person wrote it, without the model and the tokenizer; a checkpoint counted
problems and evaluations beside the stage, kept its reference under that name, and `drawn` had no folder a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from centime.errors import UserError
from centime.recipe import Recipe

REFERENCE = "reference/"  # before the names of the reference's tensors
COUNTED = ("problems", "evaluated", "accuracy", "first_accuracy")


def resolved(recipe: Recipe) -> bool:
    """Whether the recipe of a run's folder says all that follows from its tokenizer and its weights."""
    return recipe.data.tokenizer is not None


def require_resolved(recipe: Recipe, folder: object) -> Recipe:
    """The recipe. Raises UserError where it does not say of which shapes the run's model is."""
    if not resolved(recipe):
        raise UserError(
            f"{folder} was begun by an earlier version of centime, and its recipe does not say what its model is like; "
            f"go on with it once, and it will: centime train {folder} --resume"
        )
    return recipe


def completed(earlier: Recipe, now: Recipe) -> Recipe:
    """An earlier recipe with the model, the tokenizer and the lengths of `now`, to be held against it."""
    stages = [
        own.model_copy(update={"sequence_length": other.sequence_length})
        for own, (_, other) in zip(earlier.stage, now.stages, strict=False)
    ]
    return earlier.model_copy(update={"model": now.model, "data": now.data, "stage": stages})


def counted(state: Mapping[str, Any]) -> Any:
    """What the stage's kind has counted by an earlier checkpoint's state.json; {} as it begins."""
    if "problems" not in state or state.get("step") == 0:  # what was found before the first step is in the journal
        return state.get("own", {})
    return {key: state.get(key) for key in COUNTED} | {"first_cost": 0.0}
