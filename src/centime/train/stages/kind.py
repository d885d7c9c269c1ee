"""What a kind of stage says of its rows: which they are, and how many tokens of them a stage of the recipe has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from centime.data.loader import ORDER
from centime.data.tokenizers import Tokenizer
from centime.recipe import Recipe, StageSection
from centime.train.stages.batches import Rows


@dataclass(frozen=True)
class RowsAsked:
    """A stage whose rows are asked for, and what they may depend on."""

    recipe: Recipe
    section: StageSection
    tokenizer: Tokenizer
    position: Sequence[int] | None = None  # tokens of each source of text that the stages before have taken
    order: int = ORDER  # of rows of text, as Loader has it


class RowsKind(Protocol):
    """What the planning of stages needs of a kind. Kinds are in the room `kinds`, or come from outside of `train`."""

    text: bool  # its rows are shards': held-out text says how far it is, the next stage of text goes on after them

    def settled(self, asked: RowsAsked) -> StageSection:
        """The stage's section, with what follows from its data alone where the recipe does not state it."""

    def rows(self, asked: RowsAsked) -> Rows:
        """The stage's rows. Raises UserError where its data is missing, empty or made with another tokenizer."""

    def forward_rows(self, rows: Rows) -> int:
        """Rows that are computed forward before the stage's first step, for the forecast."""

    def tokens(self, section: StageSection, rows: Rows) -> int:
        """Tokens that the recipe states, rows times their full length: what milestones and budgets are shares of."""
