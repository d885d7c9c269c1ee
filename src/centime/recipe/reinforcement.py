"""The recipe of a run of reinforcement: weights to start from, problems, a reward, and how these are learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from centime.errors import UserError
from centime.input_files import read_text
from centime.recipe import toml
from centime.recipe.policy import PolicyLoss
from centime.recipe.sections import Optimizer
from centime.recipe.values import MOST_COUNT, MOST_LENGTH, MOST_RATE, MOST_SEED, FilePath, RecipeSection
from centime.typed_trees import explain


class ProblemsSection(RecipeSection):
    """What is asked: rows of a file, or a generator's."""

    source: str = Field(description="a .jsonl of {prompt, answer} rows, GSM8K's or MATH's, or a generator: chains")
    held_out: str | None = Field(None, description="the same, never trained on; none: split off the source")
    held_out_count: int = Field(200, gt=0, le=MOST_COUNT, description="problems an evaluation asks")
    chat: bool = Field(True, description="ask through the chat template; false: the prompt alone, for a base")
    easiest: int = Field(2, ge=1, le=MOST_COUNT, description="of a generator: steps of its easiest problems")
    hardest: int = Field(8, ge=1, le=MOST_COUNT, description="and of its hardest")
    curriculum: float = Field(
        0.0, ge=0, le=1, description="share of the run over which the hardest problems come in; 0: all from the start"
    )


class ReinforcementSection(RecipeSection):
    """Answers drawn, graded and learned from, step by step (R1: 10,400 steps of 32 prompts with 16 samples each)."""

    problems: ProblemsSection
    reward: str = Field(
        "exact", description="exact, number or math (math-verify); or a file FILE.py with reward(prompt, answer, row)"
    )
    format_reward: float = Field(
        0.0, ge=0, le=MOST_RATE, description="added where an answer has the form that its reward looks for (R1: 1)"
    )
    language_reward: float = Field(
        0.0, ge=0, le=MOST_RATE, description="times the share of words in the prompt's script (R1, section 3.2)"
    )
    steps: int = Field(100, gt=0, le=MOST_COUNT, description="roll-outs, each followed by its updates (R1: 10,400)")
    prompts: int = Field(32, gt=0, le=MOST_COUNT, description="prompts a step (R1: 32)")
    samples: int = Field(16, gt=1, le=MOST_COUNT, description="answers to each, the group (R1: 16)")
    updates: int = Field(1, gt=0, le=MOST_COUNT, description="updates a step, each on its part of the answers (R1: 16)")
    max_tokens: int = Field(64, gt=0, le=MOST_LENGTH, description="most tokens of an answer (R1: 32768, later 65536)")
    temperature: float = Field(1.0, ge=0.01, le=2, description="answers are drawn at it, and learned at it (R1: 1)")
    overlong: Literal["count", "mask", "punish"] = Field(
        "count",
        description="an answer cut at max_tokens is graded as it is (count), not learned from (mask; DAPO, "
        "section 3.4), or gets less the longer it is (punish, from overlong_from on)",
    )
    overlong_from: float = Field(0.8, gt=0, le=1, description="share of max_tokens where punish begins")
    redraws: int = Field(
        0, ge=0, le=100, description="times that prompts whose samples all got one reward are replaced (DAPO, eq. 11)"
    )
    reference_every: int = Field(
        400, gt=0, le=MOST_COUNT, description="steps after which the reference is the policy of now (R1: 400)"
    )
    lr: float = Field(1e-6, gt=0, le=MOST_RATE, description="learning rate (R1: 3e-6; small models take 1e-4 and up)")
    warmup_steps: int = Field(5, ge=0, le=MOST_COUNT, description="steps of linear warm-up from zero")
    bias_update_speed: float = Field(0.0, ge=0, le=MOST_RATE, description="step of the routing bias; 0: frozen")
    balance_loss: float = Field(0.0, ge=0, le=MOST_RATE, description="weight of the sequence-wise balance loss")
    evaluate_every: int = Field(20, gt=0, le=MOST_COUNT, description="steps between evaluations on held-out problems")
    target: float | None = Field(None, gt=0, le=1, description="held-out accuracy at which it is done; none: never")
    dead_after: int = Field(
        20, gt=0, le=MOST_COUNT, description="steps in a row without a signal after which the run stops itself"
    )
    loss: PolicyLoss = PolicyLoss()


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
