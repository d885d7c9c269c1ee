"""What an answer is worth: rules of our own, math-verify's, code by its tests, and a user's in a file of Python."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from centime.errors import UserError
from centime.installation import needs
from centime.recipe.rl_section import ReinforcementSection
from centime.tune.rewards.builtin import BUILT_IN
from centime.tune.rewards.grader import AnswerText, Grade, Grader, Rule, require_answers
from centime.tune.rewards.programs import ProgramRule
from centime.tune.rewards.user import UserRule

__all__ = ["AnswerText", "Grade", "Grader", "open_grader", "require_answers"]


class _BuiltIn:
    def __init__(self, name: str) -> None:
        self._score = BUILT_IN[name]
        self.notes: list[str] = []

    def __call__(self, answers: Sequence[AnswerText]) -> list[float]:
        return [self._score(one.text, one.problem.answer) for one in answers]

    def close(self) -> None:
        """It holds nothing."""


def open_grader(settings: ReinforcementSection) -> Grader:
    """The grader that a recipe names. Raises UserError where it names none, or its library or file is not there."""
    return Grader(_rule(settings.reward), settings)


def _rule(name: str) -> Rule:
    if name in BUILT_IN:
        return _BuiltIn(name)
    if name == "code":
        return ProgramRule()
    if name == "math":
        if importlib.util.find_spec("math_verify") is None:
            raise needs("rl", 'rl.reward = "math"', "math-verify")
        return UserRule(Path(__file__).with_name("mathematics.py"))
    if name.endswith(".py"):
        return UserRule(Path(name))
    known = ", ".join([*BUILT_IN, "code", "math"])
    raise UserError(f"rl.reward is {name!r}; known are {known}, and files of Python (FILE.py).")
