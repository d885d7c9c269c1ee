"""What reinforcement asks, draws and learns from: the keys of [rl], and of a [[stage]] of its kind."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from centime.recipe.policy import PolicyLoss
from centime.recipe.values import MOST_COUNT, MOST_LENGTH, MOST_RATE, RecipeSection


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
