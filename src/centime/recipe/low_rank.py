"""The [lora] table: adapters that are trained in place of the weights they stand beside."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from centime.recipe.values import MOST_COUNT, MOST_RATE, RecipeSection


class Lora(RecipeSection):
    """Low-rank adapters (arXiv 2106.09685) beside frozen matrices, in all stages of the run."""

    rank: int = Field(16, gt=0, le=MOST_COUNT, description="of each adapter: rank x (inputs + outputs) numbers")
    alpha: float = Field(32.0, gt=0, le=MOST_RATE, description="an adapter's product is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of an adapter's inputs left out in training")
    targets: list[str] = Field(
        default=["all-linear"],
        min_length=1,
        description="all-linear, attention, mlp, experts, router, head; or names: q_proj, experts.down_proj, *.0.*",
    )
    rslora: bool = Field(False, description="alpha / sqrt(rank) instead: the same lr at every rank (arXiv 2312.03732)")
    base: Literal["int8", "int4", "fp8"] | None = Field(
        None, description="keep the frozen matrices quantised in memory (QLoRA, arXiv 2305.14314); none: as they are"
    )
