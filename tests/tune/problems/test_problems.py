"""Problems: files as people have them, and generators whose held-out half stays out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.errors import UserError
from centime.recipe.rl_section import ProblemsSection
from centime.tune.problems import open_problems
from centime.tune.problems.chains import ChainProblems
from centime.tune.problems.rows import boxed, final_answer, read_problems


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"question": "2+2?", "answer": "because\n#### 4"}, "2+2?", "4"),
        ({"problem": "half?", "solution": "so \\boxed{\\frac{1}{2}}."}, "half?", "\\frac{1}{2}"),
        ({"prompt": "p", "answer": 7}, "p", "7"),
        ({"text": "write f", "code": "def f(): pass", "test_list": ["f()"]}, "write f", "def f(): pass"),
        ({"prompt": "日本?", "completion": "x"}, "日本?", ""),
    ],
)
def test_rows_as_people_have_them(tmp_path: Path, row: dict[str, object], prompt: str, answer: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    (found,) = read_problems(path)
    assert (found.prompt, found.answer) == (prompt, answer)
    assert dict(found.row) == row


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no line"),
        ('{"answer": 1}', "line 1 has no question"),
        ('{"prompt": "p", "answer": 1}\n[1]\n', "line 2 is no JSON object"),
        ('{"prompt": "p"', "line 1"),
        ("[1, 2]", "item 1 is no JSON object"),
    ],
)
def test_what_is_no_file_of_problems_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_problems(path)


def test_held_out_rows_are_never_asked_and_all_others_are_once_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{i}", "answer": i}) + "\n" for i in range(100)))
    source = open_problems(ProblemsSection(source=str(path)), seed=3)
    held_out = {one.prompt for one in source.held_out()}
    count = 100 - len(held_out)
    epochs = [[source.problem(epoch * count + i, 0.0).prompt for i in range(count)] for epoch in (0, 1)]
    assert 0 < len(held_out) < 30
    for asked in epochs:
        assert len(set(asked)) == count
        assert held_out.isdisjoint(asked)
    assert epochs[0] != epochs[1]
    assert source.problem(5, 0.9).prompt == epochs[0][5], "a problem is a function of its number"


def test_too_few_to_hold_some_out_need_others(tmp_path: Path) -> None:
    few, others = tmp_path / "few.jsonl", tmp_path / "others.jsonl"
    for path, name in ((few, "p"), (others, "q")):
        path.write_text(json.dumps({"prompt": name, "answer": 1}) + "\n")
    with pytest.raises(UserError, match=r"1 problems, too few to hold some out; name others"):
        open_problems(ProblemsSection(source=str(few)), seed=0)
    source = open_problems(ProblemsSection(source=str(few), held_out=str(others)), seed=0)
    assert ([source.problem(5, 0.0).prompt], [one.prompt for one in source.held_out()]) == (["p"], ["q"])


@given(st.integers(0, 10**6), st.integers(0, 100))
def test_chains_are_functions_of_their_number_and_right(number: int, seed: int) -> None:
    source = ChainProblems(ProblemsSection(source="chains", easiest=2, hardest=5), seed)
    one = source.problem(number, 0.0)
    assert one == ChainProblems(ProblemsSection(source="chains", easiest=2, hardest=5), seed).problem(number, 0.0)
    text = one.prompt.removesuffix(":")
    value = int(text[0])
    for sign, digit in zip(text[1::2], text[2::2], strict=True):
        value = {"+": value + int(digit), "-": value - int(digit), "*": value * int(digit)}[sign] % 10
    assert one.answer == str(value)
    assert 2 <= one.steps == len(text) // 2 <= 5


def test_no_held_out_chain_is_trained_on_and_a_curriculum_goes_from_short_to_long() -> None:
    settings = ProblemsSection(source="chains", easiest=1, hardest=4, held_out_count=80, curriculum=0.5)
    source = ChainProblems(settings, 0)
    held_out = source.held_out()
    trained = {source.problem(i, 1.0).prompt for i in range(3000)}
    assert trained.isdisjoint(one.prompt for one in held_out)
    assert [sum(one.steps == k for one in held_out) for k in (1, 2, 3, 4)] == [20] * 4
    assert {source.problem(i, 0.0).steps for i in range(50)} == {1}
    assert max(source.problem(i, 0.5).steps for i in range(50)) == 4


@pytest.mark.parametrize(
    ("text", "inside"),
    [("\\boxed{a{b}c} and", "a{b}c"), ("\\boxed{1} \\boxed{2}", "2"), ("\\boxed{never", None), ("none", None)],
)
def test_boxes(text: str, inside: str | None) -> None:
    assert boxed(text) == inside
    assert final_answer(text) == (text if inside is None else inside)


def test_the_published_files_are_read(shared: Path) -> None:
    gsm8k = read_problems(shared / "data" / "tasks" / "gsm8k" / "test.jsonl")
    assert len(gsm8k) == 1319
    assert all(one.answer.replace(",", "").lstrip("-").replace(".", "").isdigit() for one in gsm8k)
    mathematics = read_problems(shared / "data" / "tasks" / "math" / "math_test.json")
    assert all(one.answer for one in mathematics)
