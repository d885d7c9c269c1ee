"""Rules: what counts as right, and what a model could get for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.recipe.rl_section import ReinforcementSection
from centime.tune.problems import Problem
from centime.tune.rewards import AnswerText, Grade, Grader
from centime.tune.rewards.builtin import exact, has_form, number, one_script, stated
from centime.tune.rewards.grader import overlong


@pytest.mark.parametrize(
    ("text", "right", "exactly", "as_number"),
    [
        ("7", "7", 1, 1),
        ("2,6=6", "6", 1, 1),
        ("so it is 7", "7", 0, 1),
        ("<think>1</think><answer> 1,000 </answer>", "1000", 0, 1),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", 1, 1),
        ("#### 42", "42.0", 0, 1),
        ("=7=8", "7", 0, 0),
        ("<answer>7</answer><answer>8</answer>", "7", 0, 0),
        ("0 1 2 3 4 5 6 7 8 9", "5", 0, 0),
        ("", "", 1, 0),
        ("1e400", "inf", 0, 0),
        ("-3", "3", 0, 0),
        ("9" * 5000, "9" * 5000, 1, 0),
        ("9" * 1001, "9" * 1001, 1, 0),
        ("0" * 999 + "7", "7", 0, 1),
    ],
)
def test_what_is_right(text: str, right: str, exactly: float, as_number: float) -> None:
    assert (exact(text, right), number(text, right)) == (exactly, as_number)


@given(st.text(), st.text())
def test_no_text_breaks_a_rule(text: str, right: str) -> None:
    for found in (exact(text, right), number(text, right), has_form(text), one_script(text, right)):
        assert 0 <= found <= 1
    said = stated(text)
    assert said is None or said in text


def test_form_and_language() -> None:
    assert [has_form(text) for text in ("2,6=6", "6", "=", "=6\nand so on", "\\boxed{3}")] == [1, 0, 0, 0, 1]
    assert one_script("日本 so", "an English question") == 0.5
    assert one_script("12 = 12", "1 + 11") == 1


def test_length_is_punished_towards_the_end() -> None:
    assert [overlong(n, 100, 0.8) for n in (0, 80, 90, 100, 200)] == [0, 0, 0.5, 1, 1]


class Halves:
    """A rule for which everything is half right."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __call__(self, answers: Sequence[AnswerText]) -> list[float]:
        return [0.5] * len(answers)

    def close(self) -> None: ...


@pytest.mark.parametrize("form", [0.0, 0.25])
@pytest.mark.parametrize("language", [0.0, 0.5])
@pytest.mark.parametrize("cut", ["count", "punish"])
def test_a_reward_is_what_the_recipe_adds_up(form: float, language: float, cut: str) -> None:
    given_ = {"problems": {"source": "chains"}, "max_tokens": 8, "overlong": cut}
    settings = ReinforcementSection.model_validate(given_ | {"format_reward": form, "language_reward": language})
    for tokens in range(9):
        texts = ("so =7", "so 7", "日本 so")
        found = Grader(Halves(), settings)([AnswerText(Problem("say it", "7"), text, tokens=tokens) for text in texts])
        late = max(0.0, (tokens - 6.4) / 1.6) if cut == "punish" else 0.0
        assert found == [
            Grade(pytest.approx(0.5 + form * formed + language * ours - late), 0.5, formed)  # type: ignore[arg-type]
            for formed, ours in ((1, 1), (0, 1), (0, 0.5))
        ]
