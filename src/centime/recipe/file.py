"""A recipe's file: TOML to the tree and back, with overrides, and errors as sentences that name the key."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from centime.errors import UserError
from centime.input_files import read_text
from centime.recipe import toml
from centime.recipe.contradictions import contradictions
from centime.recipe.sections import Recipe
from centime.typed_trees import explain

# What a recipe cannot say yet, or says otherwise, and the sentence for whoever tries.
START = ' Weights that exist are named by from in [model]: from = "FOLDER".'
ABSENT = dict.fromkeys(("init", "weights", "checkpoint", "pretrained", "base"), START) | dict.fromkeys(
    ("lora_rank", "lora_alpha"), " Adapters have a table of their own: [lora] rank = 16."
)


def read(path: Path, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a TOML file, with `a.b=value` overrides applied. Raises UserError naming the key."""
    return parse(read_text(path, "a recipe (.toml)"), overrides, where=str(path))


def parse(text: str, overrides: list[str] | None = None, where: str = "the recipe") -> Recipe:
    """The same from TOML text."""
    tree = toml.load(text, where)
    for override in overrides or []:
        toml.override(tree, override)
    try:
        recipe = Recipe.model_validate(tree, strict=True)  # true is no number, and 3.7 no whole one
    except ValidationError as error:
        faults = explain(error, Recipe, "a recipe", also={"model": {"preset", "depth", "from"}}, instead=ABSENT)
        if "rl" in tree:
            faults = faults.replace("stage.0", "rl")  # as its writer knows it
        raise UserError(f"{where}: {faults}") from error
    if found := list(contradictions(recipe)):
        raise UserError(f"{where}: {' '.join(found)}")
    return recipe


def write(recipe: Recipe) -> str:
    """TOML of the whole tree, a comment on every key; `parse` reads it back to an equal recipe."""
    return toml.dump(recipe)
