"""The recipe of a run of reinforcement: weights to start from, problems, a reward, and how these are learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from centime.errors import UserError
from centime.input_files import read_text
from centime.recipe import toml
from centime.recipe.low_rank import Lora
from centime.recipe.rl_section import ReinforcementSection
from centime.recipe.sections import Optimizer
from centime.recipe.values import MOST_COUNT, MOST_SEED, FilePath, RecipeSection
from centime.typed_trees import explain


class TuningRun(RecipeSection):
    """How the run is carried out."""

    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="compute in bf16 or all in fp32")
    micro_batch: int = Field(64, gt=0, le=MOST_COUNT, description="answers computed at once")
    deterministic: bool = Field(
        False, description="samples whose log-probabilities are those of training to the bit, at a price in speed"
    )
    checkpoint_every: int = Field(20, gt=0, le=MOST_COUNT, description="steps between checkpoints")
    keep: int = Field(2, gt=0, le=MOST_COUNT, description="checkpoints kept; older ones are deleted")
    tensorboard: bool = Field(True, description="write TensorBoard files beside metrics.jsonl")


class ReinforcementRecipe(RecipeSection):
    """A whole run of reinforcement."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="names the run and its folder"
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="of the problems' order and of every draw")
    start: FilePath = Field(description="[model] from: the folder of the weights to start from, with its tokenizer")
    rl: ReinforcementSection
    lora: Lora | None = Field(default=None, description="train adapters beside the weights of [model] from, not these")
    optimizer: Optimizer = Optimizer()
    run: TuningRun = TuningRun()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, tree: Any) -> Any:
        """`[model] from = FOLDER` is `start`."""
        if not isinstance(tree, dict) or not isinstance(tree.get("model"), dict):
            return tree
        tree = dict(tree)
        model = dict(tree.pop("model"))
        if "from" in model:
            tree["start"] = model.pop("from")
        if model:
            raise UserError(
                f"[model] has {', '.join(sorted(map(str, model)))} beside from; reinforcement goes on with the weights "
                "of a folder as they are: leave the rest out."
            )
        return tree


def is_reinforcement(path: Path) -> bool:
    """Whether a recipe, or that of a run's folder, asks for reinforcement: it has an [rl] table.

    Raises UserError where it is no TOML; of a folder without a recipe it is not.
    """
    if path.is_dir():
        path = path / "recipe.toml"
        if not path.exists():
            return False
    return "rl" in toml.load(read_text(path, "a recipe (.toml)"), str(path))


def read_reinforcement(path: Path, overrides: list[str] | None = None) -> ReinforcementRecipe:
    """The recipe in a TOML file, with `a.b=value` overrides applied. Raises UserError naming the key."""
    tree = toml.load(read_text(path, "a recipe (.toml)"), str(path))
    for override in overrides or []:
        toml.override(tree, override)
    try:
        return ReinforcementRecipe.model_validate(tree, strict=True)
    except ValidationError as error:
        faults = explain(error, ReinforcementRecipe, "a recipe of reinforcement", also={"": {"model"}})
        raise UserError(f"{path}: {faults}") from error
