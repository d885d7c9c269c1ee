"""A user's reward: what hangs, raises, leaks or ends the process costs one sample, and is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from centime.errors import UserError
from centime.tune.problems import Problem
from centime.tune.rewards import AnswerText, user
from centime.tune.rewards.user import UserRule

ONE = """
import os, time
def reward(prompt, answer, row):
    print("noise")
    if answer == "hang": time.sleep(1000)
    if answer == "spin":
        while True: pass
    if answer == "raise": raise KeyError("no such thing")
    if answer == "leak": return len(bytearray(2**40))
    if answer == "die": os._exit(3)
    if answer == "leave": raise SystemExit
    if answer == "text": return "good"
    if answer == "nan": return float("nan")
    return len(answer) / row["length"]
"""
ASYNC = ONE.replace("def reward", "async def reward").replace(
    "time.sleep(1000)", "await __import__('asyncio').sleep(1000)"
)
MANY = """
import time
def rewards(prompts, answers, rows):
    if "hang" in answers: time.sleep(1000)
    return [len(answer) / row["length"] for answer, row in zip(answers, rows)]
"""
Opened = Callable[[str], UserRule]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    monkeypatch.setattr(user, "GRACE", 0.1)

    def make(source: str) -> UserRule:
        path = tmp_path / "mine.py"
        path.write_text(source)
        return UserRule(path, seconds=0.5, memory=2**32)

    return make


def asked(*texts: str) -> list[AnswerText]:
    return [AnswerText(Problem("p", "right", {"length": 4}), text) for text in texts]


@pytest.mark.parametrize("source", [ONE, ASYNC])
@pytest.mark.parametrize("bad", ["hang", "spin", "raise", "leak", "die", "leave", "text", "nan"])
def test_what_goes_wrong_costs_one_sample(opened: Opened, source: str, bad: str) -> None:
    rule = opened(source)
    try:
        assert rule(asked("ab", "abcd", bad, "a", "abc")) == [0.5, 1.0, 0.0, 0.25, 0.75]
        assert len(rule.notes) == 1
        assert rule(asked("abcd")) == [1.0], "and the next step is graded as if nothing had been"
    finally:
        rule.close()


BESIDE = """
import grader, time
def reward(prompt, answer, row):
    time.sleep(1000 * (answer == "hang"))
    return grader.WORTH
"""


def test_what_lies_beside_the_file_is_its_own_and_nothing_is_left_of_a_process_that_hung(
    opened: Opened, tmp_path: Path
) -> None:
    """A module of the user's may have the name of one of ours."""
    (tmp_path / "grader.py").write_text("WORTH = 0.25\n")
    rule = opened(BESIDE)
    try:
        assert rule(asked("hang", "a")) == [0.0, 0.25]
        assert len([one for one in psutil.Process().children() if str(tmp_path / "mine.py") in one.cmdline()]) == 1
    finally:
        rule.close()


def test_a_batch_that_hangs_is_graded_one_by_one(opened: Opened) -> None:
    rule = opened(MANY)
    try:
        assert rule(asked("ab", "abcd")) == [0.5, 1.0]
        began = time.monotonic()
        assert rule(asked("ab", "hang", "a")) == [0.5, 0.0, 0.25]
        assert time.monotonic() - began < 30
        assert rule.notes == ["took more than 0.5 s"]
    finally:
        rule.close()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_like_that", "nothing_like_that"),
        ("def grade(): pass", "no function reward"),
        ("def", "SyntaxError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("import os; os._exit(1)", "died"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(opened: Opened, source: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        opened(source)
