"""The sections and keys of a recipe, each with its type, its bounds, its default and what it means.

Amounts of tokens are written as people write them ("14.8T", "2M"). A milestone inside a stage is a share of the stage
(0 to 1) or, above 1, an amount of tokens ("10T"); either way it scales with the stage when a budget resizes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.typed_trees import as_written
from centime.units import parse_count

# Upper bounds: far above what anybody trains with, and low enough that no arithmetic of a run overflows.
MOST_TOKENS = 10**16  # DeepSeek-V3: 1.48e13
MOST_LENGTH = 2**24  # tokens in a sequence; DeepSeek-V4: 2^20
MOST_SEQUENCES = 2**24  # in a step; DeepSeek-V3: 15,360
MOST_COUNT = 10**9  # steps, rows and the like
MOST_SEED = 2**63 - 1
MOST_RATE = 1e6  # learning rates, and weights of losses and of sources


def _amount(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_count(value)
    except UserError as error:
        raise ValueError(str(error)) from None  # so that the sentence names the key


def _whole(value: Any) -> Any:
    number = _amount(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _path(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value or "\0" in value:
        raise ValueError("a path has a character at least, and no zero byte")
    return Path(value)


Tokens = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=MOST_TOKENS)]
Milestone = Annotated[float, BeforeValidator(_amount), Field(ge=0, le=MOST_TOKENS)]
FilePath = Annotated[Path, BeforeValidator(_path)]


class RecipeSection(BaseModel):
    """A table of the recipe: unknown keys are refused, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Source(RecipeSection):
    """A folder of token shards and its weight in the mixture."""

    path: FilePath = Field(description="folder that `centime data prepare` wrote")
    weight: float = Field(1.0, ge=1 / MOST_RATE, le=MOST_RATE, description="relative share of the tokens drawn from it")


class Data(RecipeSection):
    """Where the tokens come from."""

    tokenizer: FilePath = Field(description="folder with tokenizer.json; copied into the saved model")
    train: list[Source] = Field(min_length=1, description="shards to train on, mixed by weight")
    held_out: list[Source] = Field(
        default=[], description="shards to evaluate on, never trained on; empty: no evaluation"
    )


class Plateau(RecipeSection):
    """A constant learning rate after the cosine (V3: 2.2e-5 for 333B tokens, then 7.3e-6 for 167B)."""

    until: Milestone = Field(description="where the plateau ends; the last one's end is the stage's")
    ratio: float = Field(gt=0, le=1, description="learning rate over the peak")


class StageSection(RecipeSection):
    """What every stage has: its sequences, its learning rate, and the weights of the auxiliary losses."""

    sequence_length: int = Field(
        256, gt=1, le=MOST_LENGTH, description="tokens a sequence (V3: 4096, then 32768 and 131072)"
    )
    batch_size: int = Field(32, gt=0, le=MOST_SEQUENCES, description="sequences a step over all devices (V3: 15360)")
    lr: float = Field(
        1e-3, gt=0, le=MOST_RATE, description="peak learning rate (V3: 2.2e-4 at 671B; small models take 1e-3 and up)"
    )
    warmup_steps: int = Field(0, ge=0, le=MOST_COUNT, description="steps of linear warm-up from zero (V3: 2000)")
    constant_until: Milestone = Field(0.0, description="the peak is held until here (V3: 10T of 14.8T)")
    cosine_until: Milestone = Field(1.0, description="a cosine falls to lr_end_ratio until here (V3: 14.3T)")
    lr_end_ratio: float = Field(0.1, ge=0, le=1, description="end of the cosine over the peak (V3: 0.1)")
    plateaus: list[Plateau] = Field(default=[], description="constant rates after the cosine (V3 has two)")
    bias_update_speed: float = Field(
        1e-3, ge=0, le=MOST_RATE, description="step of the routing bias (V3: 0.001; 0 leaves it alone)"
    )
    bias_update_until: Milestone = Field(1.0, description="the bias is frozen from here on (V3: 14.3T of 14.8T)")
    balance_loss: float = Field(
        1e-4, ge=0, le=MOST_RATE, description="weight of the sequence-wise balance loss (V3: 1e-4)"
    )
    mtp_weight: float = Field(0.3, ge=0, le=MOST_RATE, description="weight of the MTP losses at first (V3: 0.3)")
    mtp_weight_end: float = Field(0.1, ge=0, le=MOST_RATE, description="and later (V3: 0.1)")
    mtp_weight_until: Milestone = Field(10 / 14.8, description="where the weight changes (V3: 10T of 14.8T)")


class Pretrain(StageSection):
    """The first stage: next-token prediction from scratch."""

    tokens: Tokens | None = Field(
        None, description='tokens to train on ("14.8T"); none: what --budget pays for, else 20 a parameter (Chinchilla)'
    )
    batch_size_start: int | None = Field(
        None, gt=0, le=MOST_SEQUENCES, description="sequences of the first step (V3: 3072); none: no ramp"
    )
    batch_ramp_until: Milestone = Field(0.0, description="the batch grows linearly in tokens until here (V3: 469B)")


class Context(StageSection):
    """A YaRN extension to longer sequences (V3 section 4.3); write [[context]] twice for V3's two phases."""

    tokens: Tokens = Field(description="tokens to train on (V3: 1000 steps a phase, 62.9B at 32K and at 128K)")
    factor: float | None = Field(
        None, ge=1, le=MOST_RATE, description="YaRN's s (V3: 40); none: this sequence length over the pre-training one"
    )
    mtp_weight: float = Field(
        0.1, ge=0, le=MOST_RATE, description="weight of the MTP losses, kept from the end of pre-training"
    )
    bias_update_speed: float = Field(
        0.0, ge=0, le=MOST_RATE, description="0: frozen, as V3's is from its last 500B tokens on"
    )


class Sft(StageSection):
    """Supervised fine-tuning on prompt-answer pairs, with the loss on the answers alone."""

    data: FilePath = Field(description='.jsonl of {"prompt", "answer"} or {"messages": [{"role", "content"}]} lines')
    epochs: float = Field(2.0, gt=0, le=MOST_RATE, description="passes over the pairs (V3: 2)")
    mtp_weight: float = Field(
        0.1, ge=0, le=MOST_RATE, description="weight of the MTP losses, kept from the end of pre-training"
    )
    bias_update_speed: float = Field(0.0, ge=0, le=MOST_RATE, description="0: frozen")


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
    model: ModelConfig = Field(
        description='preset = "deepseek-v3" or depth = 6 as a start, and any field of config.json beside it'
    )
    data: Data
    train: Pretrain = Field(default=Pretrain(), description="pre-training")
    context: list[Context] = Field(default=[], description="context extension, after pre-training")
    sft: Sft | None = Field(default=None, description="supervised fine-tuning, last")
    optimizer: Optimizer = Optimizer()
    run: RunSection = RunSection()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, tree: Any) -> Any:
        """`[context]` once is a list of one; `[model] preset/depth` becomes the fields they stand for."""
        if isinstance(tree, dict):
            tree = dict(tree)
            if isinstance(tree.get("context"), dict):
                tree["context"] = [tree["context"]]
            if isinstance(tree.get("model"), dict):
                tree["model"] = _expand_model(tree["model"])
        return tree


def _expand_model(table: dict[str, Any]) -> dict[str, Any]:
    """{preset or depth, fields...} -> fields: those of the preset, replaced by the ones stated beside it."""
    fields = dict(table)
    start, depth = fields.pop("preset", None), fields.pop("depth", None)
    if start is not None and depth is not None:
        raise UserError("model.preset and model.depth are both stated; each chooses a whole model, keep one of them.")
    if start is None and depth is None:
        return fields
    from centime.catalogue.presets import DEPTHS, from_depth, preset

    if start is not None and not isinstance(start, str):
        raise UserError(f'model.preset is {start!r}; expected a model\'s name in quotes, such as "deepseek-v3".')
    if start is None and (type(depth) is not int or depth not in DEPTHS):
        raise UserError(
            f"model.depth is {as_written(depth)}; expected a whole number from {DEPTHS[0]} to {DEPTHS[-1]}."
        )
    if start is not None and Path(start).is_dir():
        raise UserError(
            f'model.preset is {start!r}, a folder; expected the name of an architecture, such as "deepseek-v3". A run '
            "starts from random weights: nothing is trained from existing ones yet."
        )
    base = preset(start) if start is not None else from_depth(depth)
    stated = base.model_dump(exclude_unset=True)
    if depth is not None or str(start).startswith("centime-"):
        del stated["vocab_size"]  # ours take the tokenizer's; DeepSeek's own models keep theirs
    return {**stated, **fields}
