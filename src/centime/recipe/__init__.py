"""One typed tree that says a whole run, read from TOML and written back with every default made visible.

`read` a file or `parse` its text to a `Recipe`; keys that contradict each other are refused before anything is done.
"""

from centime.recipe.file import parse, read, write
from centime.recipe.low_rank import Lora
from centime.recipe.sections import Data, Optimizer, Recipe, RunSection, Source
from centime.recipe.stages import Context, Distil, Dpo, Plateau, Pretrain, Rl, Sft, StageSection
from centime.recipe.values import Milestone, RecipeSection

__all__ = [
    "Context",
    "Data",
    "Distil",
    "Dpo",
    "Lora",
    "Milestone",
    "Optimizer",
    "Plateau",
    "Pretrain",
    "Recipe",
    "RecipeSection",
    "Rl",
    "RunSection",
    "Sft",
    "Source",
    "StageSection",
    "parse",
    "read",
    "write",
]
