"""Grades: what each answer is worth, and apart from that whether it is right and whether it has the form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from centime.errors import UserError
from centime.recipe.rl_section import ReinforcementSection
from centime.tune.problems import Problem
from centime.tune.problems.rows import ANSWERS
from centime.tune.rewards.builtin import has_form, one_script

NEEDS_ANSWER = {"exact", "number", "math"}  # rules that compare with the right answer


@dataclass(frozen=True)
class AnswerText:
    """An answer to be graded. cut: it has no end of its own; tokens: how many it has, of `most` that it may."""

    problem: Problem
    text: str
    cut: bool = False
    tokens: int = 0


@dataclass(frozen=True)
class Grade:
    """reward: what is learned from; right: what the reward rule says alone, 1 for wholly right."""

    reward: float
    right: float
    formed: float


class Rule(Protocol):
    """What says whether answers are right: 0 to 1 each, in order. It never raises for an answer's sake."""

    notes: list[str]  # what went wrong with answers since somebody last took them away

    def __call__(self, answers: Sequence[AnswerText]) -> list[float]: ...

    def close(self) -> None:
        """Lets go of processes."""


class Grader:
    """A rule with what a recipe adds to it: form, language, a punishment of overlong answers."""

    def __init__(self, rule: Rule, settings: ReinforcementSection) -> None:
        self.rule, self._settings = rule, settings

    def __call__(self, answers: Sequence[AnswerText]) -> list[Grade]:
        """A grade each."""
        return [self._grade(answer, right) for answer, right in zip(answers, self.rule(answers), strict=True)]

    def _grade(self, answer: AnswerText, right: float) -> Grade:
        settings, formed = self._settings, has_form(answer.text)
        reward = right + settings.format_reward * formed
        if settings.language_reward:
            reward += settings.language_reward * one_script(answer.text, answer.problem.prompt)
        if settings.overlong == "punish":
            reward -= overlong(answer.tokens, settings.max_tokens, settings.overlong_from)
        return Grade(reward, right, formed)


def overlong(tokens: int, most: int, start: float) -> float:
    """0 up to `start` times `most` tokens, from there linearly to 1 at `most` (DAPO, arXiv 2503.14476, eq. 13)."""
    first = start * most
    return 0.0 if tokens <= first else min(1.0, (tokens - first) / max(most - first, 1e-9))


def require_answers(held_out: list[Problem], reward: str) -> None:
    """Raises UserError where a rule that compares has nothing to compare with."""
    unknown = next((one for one in held_out if not one.answer), None)
    if unknown is not None and reward in NEEDS_ANSWER:
        raise UserError(
            f"The problem {unknown.prompt[:60]!r} has no answer that rl.reward = {reward!r} could compare with: none "
            f"of {', '.join(ANSWERS)} is in its row."
        )
