"""What is asked, and what is known of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Problem:
    """One question. answer: the right one as a text, '' where only a reward of the user's own knows."""

    prompt: str
    answer: str
    row: Mapping[str, Any] = field(default_factory=dict)  # all that its file says of it
    steps: int = 0  # how hard it is, where that is known


class ProblemSource(Protocol):
    """Problems by number, the same in every run of a seed, and others that are never among them."""

    fingerprint: str

    def problem(self, number: int, progress: float) -> Problem:
        """The number-th to train on; progress: share of the run that is done, for a curriculum."""

    def held_out(self) -> list[Problem]:
        """Those to evaluate on."""
