"""The sections and keys of a recipe, each with its type, its bounds, its default and what it means."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from centime.catalogue.model_config import ModelConfig
from centime.recipe.low_rank import Lora
from centime.recipe.short_forms import expanded
from centime.recipe.stages import Context, Pretrain, Sft, Stage, StageSection
from centime.recipe.values import MOST_COUNT, MOST_RATE, MOST_SEED, MOST_SEQUENCES, FilePath, RecipeSection


class Source(RecipeSection):
    """A folder of token shards and its weight in the mixture."""

    path: FilePath = Field(description="folder that `centime data prepare` wrote")
    weight: float = Field(1.0, ge=1 / MOST_RATE, le=MOST_RATE, description="relative share of the tokens drawn from it")


class Data(RecipeSection):
    """Where the tokens come from."""

    tokenizer: FilePath | None = Field(
        None, description="folder with tokenizer.json; copied into the saved model; none: that of [model] from"
    )
    train: list[Source] = Field(default=[], description="shards to train on, mixed by weight; stages of text need some")
    held_out: list[Source] = Field(
        default=[], description="shards to evaluate on, never trained on; empty: no evaluation"
    )


class Optimizer(RecipeSection):
    """AdamW for everything, or Muon for the matrices beside it."""

    name: Literal["adamw", "muon"] = Field("adamw", description="adamw (V3), or muon for matrices (V4)")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's first moment (V3: 0.9)")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW's second moment (V3: 0.95)")
    eps: float = Field(1e-8, ge=1e-30, le=1, description="AdamW's epsilon (V4: 1e-20)")
    weight_decay: float = Field(
        0.1, ge=0, le=MOST_RATE, description="decoupled, on matrices only, times the learning rate (V3: 0.1)"
    )
    clip: float = Field(1.0, gt=0, le=1e30, description="largest norm of the whole gradient (V3: 1.0)")
    muon_momentum: float = Field(0.95, ge=0, lt=1, description="Muon's Nesterov momentum (V4: 0.95)")
    muon_update_rms: float = Field(
        0.18, gt=0, le=MOST_RATE, description="root mean square of Muon's update (V4: 0.18, AdamW's own)"
    )
    muon_steps: Literal["v4", "5"] = Field(
        "v4", description="Newton-Schulz: v4 is 8 fast steps and 2 exact ones; 5 is Muon's first form, half the work"
    )


class RunSection(RecipeSection):
    """How the run is carried out: nothing here changes what is learned, bar rounding."""

    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="compute in bf16 over fp32 master weights, or all in fp32; auto: bf16 where it is native"
    )
    micro_batch: int | None = Field(
        None,
        gt=0,
        le=MOST_SEQUENCES,
        description="sequences computed at once on a device; none: as many as make 4096 tokens",
    )
    activation_checkpointing: bool = Field(False, description="recompute each block in the backward pass: less memory")
    compile: bool = Field(False, description="torch.compile each block: minutes to start, faster steps on a GPU")
    deterministic: bool = Field(True, description="the same bits every time on one machine (slower on some GPUs)")
    checkpoint_every: int = Field(
        200, gt=0, le=MOST_COUNT, description="steps between checkpoints; each stage's end makes one too"
    )
    keep: int = Field(2, gt=0, le=MOST_COUNT, description="checkpoints kept; older ones are deleted")
    evaluate_every: int = Field(
        200, gt=0, le=MOST_COUNT, description="steps between evaluations on the held-out shards"
    )
    evaluate_rows: int = Field(
        32, gt=0, le=MOST_COUNT, description="sequences an evaluation; the last one takes ten times as many"
    )
    tensorboard: bool = Field(True, description="write TensorBoard files beside metrics.jsonl")
    nonfinite_limit: int = Field(
        5, gt=0, le=MOST_COUNT, description="steps in a row with a non-finite loss before the run stops"
    )


class Recipe(RecipeSection):
    """A whole run: the model, its data, and the stages one after another."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="names the run and its folder"
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="of the initial weights and of the order of the data")
    start: FilePath | None = Field(
        None, description="[model] from: a model's folder, a run, a checkpoint or a Hub id; none: random weights"
    )
    model: ModelConfig = Field(
        description='preset = "deepseek-v3", depth = 6 or from = "FOLDER", and any field of config.json beside it',
    )
    data: Data = Data()
    train: Pretrain | None = Field(default=Pretrain(), description="pre-training")
    context: list[Context] = Field(default=[], description="context extension, after pre-training")
    sft: Sft | None = Field(default=None, description="supervised fine-tuning, last")
    stage: list[Stage] = Field(default=[], description="stages of any kind in this order, instead of the three above")
    lora: Lora | None = Field(default=None, description="train adapters beside the weights of [model] from, not these")
    optimizer: Optimizer = Optimizer()
    run: RunSection = RunSection()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, tree: Any) -> Any:
        return expanded(tree) if isinstance(tree, dict) else tree

    @property
    def stages(self) -> list[tuple[str, StageSection]]:
        """Every stage in order, with its name on the bill: its kind, numbered where there are several of it."""
        sections: list[StageSection] = [*self.stage]
        if not sections:
            sections = [one for one in (self.train, *self.context, self.sft) if one is not None]
        kinds = [section.kind for section in sections]
        return [
            (kind if kinds.count(kind) == 1 else f"{kind}-{kinds[: number + 1].count(kind)}", section)
            for number, (kind, section) in enumerate(zip(kinds, sections, strict=True))
        ]

    def with_first(self, section: Pretrain) -> Recipe:
        """The recipe with another first stage, which is one of pre-training."""
        if self.stage:
            return self.model_copy(update={"stage": [section, *self.stage[1:]]})
        return self.model_copy(update={"train": section})
