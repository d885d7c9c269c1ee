"""Code by its tests: the shapes in which MBPP and HumanEval have them, and answers as models write them."""

from __future__ import annotations

from typing import Any

import pytest

from centime.errors import UserError
from centime.tune.problems import Problem
from centime.tune.rewards import AnswerText
from centime.tune.rewards.programs import ProgramRule

MBPP = {"text": "add", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": "import math"}
HUMANEVAL = {"entry_point": "add", "test": "def check(f):\n    assert f(1, 2) == 3\n"}


@pytest.mark.parametrize(
    ("row", "answer", "right"),
    [
        (MBPP, "Here:\n```python\ndef add(a, b):\n    return a + b\n```\nDone.", 1),
        (MBPP, "```\ndef add(a, b): return a - b\n```", 0),
        (MBPP, "def add(a, b): return a + b", 1),
        (MBPP, "import sys; sys.exit(0)", 0),
        (HUMANEVAL, "    return a + b\n", 1),
        (HUMANEVAL, "```python\ndef add(a, b):\n    return a + b", 1),
        ({"tests": "assert x == 1"}, "x = 1", 1),
        ({"tests": "assert x == 1"}, "no program at all", 0),
    ],
)
def test_programs_are_right_where_their_tests_pass(row: dict[str, Any], answer: str, right: float) -> None:
    problem = Problem("def add(a, b):\n", "", row)
    assert ProgramRule()([AnswerText(problem, answer)]) == [right]


def test_a_row_without_tests_is_a_sentence() -> None:
    with pytest.raises(UserError, match="has no tests"):
        ProgramRule()([AnswerText(Problem("p", "", {"prompt": "p"}), "x = 1")])
