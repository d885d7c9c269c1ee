"""What comes of a request's part of a step: text, log-probabilities or its end. A part that fails, fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from centime.errors import UserError
from centime.serve.engine.generation import Generation
from centime.serve.engine.request import DeadEnd, Finish, Piece, PromptLogprobs
from centime.serve.faults import report

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Ending:
    """Why an answer is over; `stop` is what stopped it, `error` a sentence."""

    reason: Finish
    stop: str | int | None = None
    error: str | None = None


Outcome = tuple[Generation, Piece | PromptLogprobs | Ending]


def isolated(parts: Sequence[P], compute: Callable[[Sequence[P]], Sequence[R]]) -> list[R | Exception]:
    """A result for every part; where computing them together raises, every part is computed by itself."""
    if not parts:
        return []
    try:
        return list(compute(parts))
    except Exception as error:
        if len(parts) == 1:
            return [error]
        return [isolated([part], compute)[0] for part in parts]


def ending_of(error: Exception) -> Ending:
    """The end of a request whose part of a step raised; what is our fault goes to the log."""
    if isinstance(error, DeadEnd):
        return Ending("refused", error=str(error))
    if isinstance(error, UserError):
        return Ending("failed", error=str(error))
    report(error, "a request failed")
    return Ending("failed", error=f"the engine failed on this request: {type(error).__name__}: {error}")
