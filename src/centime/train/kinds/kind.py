"""A kind of stage: all that a run asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from centime.ledger import Meter
from centime.model import Transformer
from centime.recipe import StageSection
from centime.train.engine import Objective, TrainingEngine
from centime.train.stages import Rows, RowsAsked, StagePlan


@dataclass(frozen=True)
class LiveStage:
    """A stage about to step: the model that it will train, and where it may keep what it makes of that."""

    plan: StagePlan
    engine: TrainingEngine  # with the weights that the stage begins with, or goes on with
    folder: Path  # the run's
    step: int  # steps of the stage that are done
    micro_batch: int  # rows computed at once
    meter: Meter  # books the stage; `meter.stage(...)` begins a line of its own, and must come back to plan.name
    say: Callable[[str], None]  # to the person, on the first rank's terminal
    timing: bool  # whether its steps are only timed, and then forgotten: the weights are not yet the stage's
    beside: Mapping[str, Tensor] = field(default_factory=dict)  # what its loop kept with the checkpoint it goes on from


class StageKind(ABC):
    """What a kind of stage brings to a run. Its section of the recipe is a StageSection whose `kind` names it.

    A run plans all stages (`rows`, `tokens`), times steps of each on the first stage's model, says what they will take,
    and then runs them in turn: an engine around `objective`, `begin`, and a loop of steps over the rows, with records,
    evaluations, checkpoints and the bill's line of the stage's name.
    """

    text = False

    def settled(self, asked: RowsAsked) -> StageSection:
        """The stage's section, with what follows from its data alone where the recipe does not state it."""
        return asked.section

    @abstractmethod
    def rows(self, asked: RowsAsked) -> Rows:
        """The stage's rows, read once. Raises UserError where its data is missing, empty or of another tokenizer."""

    @abstractmethod
    def tokens(self, section: StageSection, rows: Rows) -> int:
        """Tokens that the recipe states, rows times their full length."""

    def forward_rows(self, rows: Rows) -> int:
        """Rows that `begin` computes forward, for the forecast."""
        return 0

    def objective(self, model: Transformer, section: StageSection) -> Objective:
        """The model with the stage's loss; by default that of the next token, MTP and balance."""
        return Objective(model)

    def begin(self, live: LiveStage) -> None:  # noqa: B027 (most kinds have nothing to do)
        """Called before steps are timed, and before the stage's first step or the one that it goes on with."""

    def own_loop(self) -> Callable[..., Any] | None:
        """What makes the stage's loop, in place of train.run's StageLoop and of the same arguments; a kind of it."""
        return None

    def seconds_beside(self, live: LiveStage) -> Mapping[str, float]:
        """Seconds a step takes beside the updates that are timed on its rows, by the line of the bill they go to."""
        return {}
