"""What is asked: generated chains, rows of files, and the procedural tasks of reasoning-gym."""

from __future__ import annotations

from centime.recipe.rl_section import ProblemsSection
from centime.tune.problems.chains import ChainProblems
from centime.tune.problems.gym import PREFIX, GymProblems
from centime.tune.problems.problem import Problem, ProblemSource
from centime.tune.problems.rows import RowProblems

__all__ = ["Problem", "ProblemSource", "open_problems"]


def open_problems(settings: ProblemsSection, seed: int) -> ProblemSource:
    """The source that a recipe names. Raises UserError where it is no file and no generator."""
    if settings.source.startswith(PREFIX):
        return GymProblems(settings, seed)
    return ChainProblems(settings, seed) if settings.source == "chains" else RowProblems(settings, seed)
