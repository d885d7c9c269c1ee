"""The values of a recipe's keys: amounts as people write them, paths, and bounds that no arithmetic of a run overflows.

Amounts of tokens are written as people write them ("14.8T", "2M"). A milestone inside a stage is a share of the stage
(0 to 1) or, above 1, an amount of tokens ("10T"); either way it scales with the stage when a budget resizes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from centime.errors import UserError
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
