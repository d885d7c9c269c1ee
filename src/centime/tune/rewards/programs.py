"""Code by its tests: what a model wrote, run with the row's tests in the sandbox."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from centime.errors import UserError
from centime.tune.rewards.grader import AnswerText
from centime.tune.sandbox import SandboxLimits, run_program

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


class ProgramRule:
    """1 where the program passes all of its row's tests.

    Tests are Python: `tests` (a text, or a list of lines that assert), MBPP's `test_list` after its `test_setup_code`,
    or HumanEval's `test` with the `entry_point` that it checks, after the `prompt` that the answer completes.
    """

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        self._limits = limits or SandboxLimits()
        self.notes: list[str] = []

    def __call__(self, answers: Sequence[AnswerText]) -> list[float]:
        with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
            return list(pool.map(self._grade, answers))

    def close(self) -> None:
        """Every process has ended with its program."""

    def _grade(self, answer: AnswerText) -> float:
        source = f"{written(answer)}\n\n{tests_of(answer.problem.row)}\n"
        return float(run_program(source, self._limits).passed)


def written(answer: AnswerText) -> str:
    """The program in an answer: its last fenced block, else all of it; a completion goes after its prompt."""
    found = _FENCED.findall(answer.text)
    text = str(found[-1]) if found else answer.text
    entry = answer.problem.row.get("entry_point")
    if isinstance(entry, str) and f"def {entry}" not in text:
        return answer.problem.prompt + text
    return text


def tests_of(row: Mapping[str, Any]) -> str:
    """A row's tests as a program. Raises UserError where it has none."""
    if isinstance(row.get("entry_point"), str) and isinstance(row.get("test"), str):
        return f"{row['test']}\ncheck({row['entry_point']})"
    for key in ("tests", "test_list", "test"):
        found = row.get(key)
        if isinstance(found, list) and found:
            return "\n".join([str(row.get("test_setup_code") or ""), *map(str, found)])
        if isinstance(found, str) and found.strip():
            return found
    raise UserError(
        f'A problem has no tests for rl.reward = "code": expected tests, test_list or test. It has {", ".join(row)}.'
    )
