"""The procedural tasks of reasoning-gym, over a hundred of them, each with its own scorer (arXiv 2505.24760)."""

from __future__ import annotations

import importlib.util
from typing import Any

from centime.errors import UserError, nearest
from centime.installation import needs
from centime.recipe.rl_section import ProblemsSection
from centime.tune.problems.problem import Problem

PREFIX = "reasoning-gym:"
TRAINED_ON = 1_000_000  # problems of a task: made as they are asked
HELD_OUT_SEED = 2**31 - 1  # a dataset is a function of its seed: this one is never trained on


class GymProblems:
    """One task, such as "reasoning-gym:spell_backward". Held-out ones that repeat a training question are left in: the
    generator's own space is what it is, and `docs/reinforce.md` says so."""

    def __init__(self, settings: ProblemsSection, seed: int) -> None:
        """Raises UserError where the library is not there, or has no such task."""
        if importlib.util.find_spec("reasoning_gym") is None:
            raise needs("rl", "A task of reasoning-gym", "reasoning-gym")
        import reasoning_gym

        name = settings.source.removeprefix(PREFIX)
        try:
            self._train: Any = reasoning_gym.create_dataset(name, seed=seed % HELD_OUT_SEED, size=TRAINED_ON)
            self._held_out: Any = reasoning_gym.create_dataset(name, seed=HELD_OUT_SEED, size=settings.held_out_count)
        except ValueError as error:
            from reasoning_gym.factory import DATASETS

            raise UserError(
                f"reasoning-gym has no task {name!r} ({error}).{nearest(name, set(DATASETS)) or ''}"
            ) from error
        self.fingerprint = f"{settings.source}, seed {seed}"

    def problem(self, number: int, progress: float) -> Problem:
        return _problem(self._train[number % TRAINED_ON])

    def held_out(self) -> list[Problem]:
        return [_problem(self._held_out[i]) for i in range(len(self._held_out))]


def _problem(item: dict[str, Any]) -> Problem:
    return Problem(
        str(item["question"]), str(item["answer"] or ""), {"task": item.get("metadata", {}).get("source_dataset")}
    )
