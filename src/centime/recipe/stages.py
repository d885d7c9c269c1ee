"""The stages of a recipe: what every one has, and what each kind of them has of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from centime.recipe.rl_section import ReinforcementSection
from centime.recipe.values import (
    MOST_COUNT,
    MOST_LENGTH,
    MOST_RATE,
    MOST_SEQUENCES,
    FilePath,
    Milestone,
    RecipeSection,
    Tokens,
)

TooLong = Literal["leave_out", "cut", "refuse"]


class Plateau(RecipeSection):
    """A constant learning rate after the cosine (V3: 2.2e-5 for 333B tokens, then 7.3e-6 for 167B)."""

    until: Milestone = Field(description="where the plateau ends; the last one's end is the stage's")
    ratio: float = Field(gt=0, le=1, description="learning rate over the peak")


class StageSection(RecipeSection):
    """What every stage has: its kind, its sequences, its learning rate, and the weights of the auxiliary losses."""

    kind: str
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
    """Next-token prediction on text: from random weights, or from those that [model] from names."""

    kind: Literal["pretrain"] = Field("pretrain", description="what the stage is")
    tokens: Tokens | None = Field(
        None, description='tokens to train on ("14.8T"); none: what --budget pays for, else 20 a parameter (Chinchilla)'
    )
    batch_size_start: int | None = Field(
        None, gt=0, le=MOST_SEQUENCES, description="sequences of the first step (V3: 3072); none: no ramp"
    )
    batch_ramp_until: Milestone = Field(0.0, description="the batch grows linearly in tokens until here (V3: 469B)")


class Context(StageSection):
    """A YaRN extension to longer sequences (V3 section 4.3); write [[context]] twice for V3's two phases."""

    kind: Literal["context"] = Field("context", description="what the stage is")
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
    """Supervised fine-tuning on chats, with the loss on the assistant's answers alone."""

    kind: Literal["sft"] = Field("sft", description="what the stage is")
    data: FilePath = Field(
        description="chats (.jsonl, .gz, .zst, .parquet): messages, ShareGPT, Alpaca, or prompts with answers"
    )
    packing: bool = Field(
        False, description="several samples a row, none of which sees another: faster where many are short"
    )
    too_long: TooLong = Field(
        "leave_out", description="samples longer than sequence_length: leave_out, cut (at the end) or refuse"
    )
    epochs: float = Field(2.0, gt=0, le=MOST_RATE, description="passes over the pairs (V3: 2)")
    mtp_weight: float = Field(
        0.1, ge=0, le=MOST_RATE, description="weight of the MTP losses, kept from the end of pre-training"
    )
    bias_update_speed: float = Field(0.0, ge=0, le=MOST_RATE, description="0: frozen")


class Dpo(StageSection):
    """Direct preference optimisation: of two answers the chosen one becomes likelier against the model it began as."""

    kind: Literal["dpo"] = Field("dpo", description="what the stage is")
    data: FilePath = Field(
        description="preferences (.jsonl, .gz, .zst, .parquet): chosen and rejected, answers to prompt or whole chats"
    )
    sequence_length: int = Field(
        512, gt=1, le=MOST_LENGTH, description="tokens of a pair, the chosen and the rejected chat together"
    )
    epochs: float = Field(1.0, gt=0, le=MOST_RATE, description="passes over the pairs")
    lr: float = Field(1e-5, gt=0, le=MOST_RATE, description="peak learning rate; a tenth of sft's, or less")
    beta: float = Field(0.1, gt=0, le=MOST_RATE, description="how hard the model is held to the one it began as")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of preferences that may be the wrong way round"
    )
    loss: Literal["sigmoid", "robust"] = Field(
        "sigmoid", description="sigmoid (DPO; with label_smoothing cDPO), or robust: unbiased under that share (rDPO)"
    )
    too_long: TooLong = Field(
        "leave_out", description="pairs longer than sequence_length: leave_out, cut (each to its half) or refuse"
    )
    bias_update_speed: float = Field(0.0, ge=0, le=MOST_RATE, description="0: frozen")
    mtp_weight: float = Field(0.0, ge=0, le=0, description="0: a preference says nothing of tokens further ahead")
    mtp_weight_end: float = Field(0.0, ge=0, le=0, description="0")


class Distil(StageSection):
    """Distillation from a larger model: on given chats, the answers' tokens as likely as the teacher has them."""

    kind: Literal["distil"] = Field("distil", description="what the stage is")
    teacher: FilePath = Field(description="folder or run of the model to learn from, of the same vocabulary")
    data: FilePath = Field(
        description="chats (.jsonl, .gz, .zst, .parquet): messages, ShareGPT, Alpaca, or prompts with answers"
    )
    beta: float = Field(
        0.0, ge=0, le=1, description="0: forward KL, every token the teacher gives mass; 1: reverse; between: JSD (GKD)"
    )
    temperature: float = Field(1.0, ge=0.01, le=100, description="both models' logits are divided by it")
    drawn: float = Field(
        0.0, ge=0, le=1, description="share of steps whose answers the student draws (GKD's lambda; 1: on-policy)"
    )
    max_tokens: int = Field(128, gt=0, le=MOST_LENGTH, description="most tokens of an answer that the student draws")
    hard_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the answers' own cross-entropy; the rest is the teacher's",
    )
    too_long: TooLong = Field(
        "leave_out", description="samples longer than sequence_length: leave_out, cut (at the end) or refuse"
    )
    epochs: float = Field(2.0, gt=0, le=MOST_RATE, description="passes over the samples (R1's distillation: 2 to 3)")
    mtp_weight: float = Field(
        0.1, ge=0, le=MOST_RATE, description="weight of the MTP losses, which learn from the answers' own tokens"
    )
    bias_update_speed: float = Field(0.0, ge=0, le=MOST_RATE, description="0: frozen")


class Rl(ReinforcementSection, StageSection):
    """Reinforcement with verifiable rewards: `steps` times answers drawn, graded and learned from."""

    kind: Literal["rl"] = Field("rl", description="what the stage is")
    sequence_length: int = Field(
        256,
        gt=1,
        le=MOST_LENGTH,
        description="tokens of the longest prompt and its answer together, at least; not stated: as they are",
    )
    batch_size: int = Field(
        512, gt=0, le=MOST_SEQUENCES, description="answers a step: prompts times samples, from which it follows"
    )
    constant_until: Milestone = Field(1.0, description="the rate is held until here (R1: throughout)")
    deterministic: bool = Field(
        False, description="samples whose log-probabilities are those of training to the bit, at a price in speed"
    )
    mtp_weight: float = Field(0.0, ge=0, le=0, description="0: a reward says nothing of tokens further ahead")
    mtp_weight_end: float = Field(0.0, ge=0, le=0, description="0")

    @model_validator(mode="before")
    @classmethod
    def _answers_a_step(cls, tree: Any) -> Any:
        """`batch_size` is what prompts and samples make, where these are numbers at all."""
        if not isinstance(tree, dict):
            return tree
        parts = [tree.get(key, ReinforcementSection.model_fields[key].default) for key in ("prompts", "samples")]
        if not all(type(part) is int and part > 0 for part in parts):
            return tree
        if tree.get("batch_size", parts[0] * parts[1]) != parts[0] * parts[1]:
            raise ValueError(f"batch_size is {tree['batch_size']} and prompts times samples {parts[0] * parts[1]}")
        return {**tree, "batch_size": parts[0] * parts[1]}


Stage = Annotated[Pretrain | Context | Sft | Dpo | Distil | Rl, Field(discriminator="kind")]
"""A table of [[stage]]: its `kind` says which keys it has."""
KINDS = ("pretrain", "context", "sft", "dpo", "distil", "rl")
