"""Sums: test pairs never in training, in either order, and answers marked whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.small import small_model, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.evaluate.arithmetic import Sum, mark, split_of, sums


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_mirror_image_is_in_the_same_half(a: int, b: int) -> None:
    assert split_of(a, b) == split_of(b, a)


@pytest.mark.parametrize("top", [99, 5000])
def test_halves_are_disjoint_and_problems_differ(top: int) -> None:
    train, test = sums("train", 3000, top, seed=1), sums("test", 500, top, seed=2)
    assert len(set(train)) == 3000
    assert len(set(test)) == 500
    assert not {frozenset((s.left, s.right)) for s in train} & {frozenset((s.left, s.right)) for s in test}
    assert all(0 <= s.left <= top and 0 <= s.right <= top for s in train + test)
    assert sums("train", 3000, top, seed=1) == train
    assert sums("train", 3000, top, seed=2) != train


def test_about_a_tenth_of_all_pairs_is_for_the_test() -> None:
    halves = [split_of(a, b) for a in range(100) for b in range(100)]
    assert 0.08 < halves.count("test") / len(halves) < 0.12


def test_a_problem_reads_as_it_should() -> None:
    assert (Sum(12, 34).prompt, Sum(12, 34).answer) == ("1 2 + 3 4", "0 4 6")
    assert (Sum(7, 8, 3).prompt, Sum(7, 8, 3).answer) == ("0 0 7 + 0 0 8", "0 0 1 5")
    assert {one.digits for top in (9, 99, 5000) for one in sums("train", 5, top)} == {1, 2, 4}


def test_too_many_are_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="ask for fewer"):
        sums("test", 2000, top=99)


@pytest.fixture
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tok") / "tokenizer")


def test_marking_counts_exact_answers_alone(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the model's answers: right, right with spaces, wrong, right but going on."""
    problems = [Sum(1, 2, 1), Sum(3, 4, 1), Sum(5, 6, 1), Sum(7, 8, 1)]
    answers = ["0 3", " 0 7 ", "1 2", "1 5 and so on"]
    seen: list[str] = []

    def greedy(model: object, tokenizer_: object, prompts: list[list[int]], **_: object) -> list[list[int]]:
        seen.extend(tokenizer.decode(p) for p in prompts)
        return [tokenizer.encode(a) for a in answers]

    monkeypatch.setattr("centime.serve.offline.session.greedy", greedy)
    marks = mark(None, tokenizer, problems)  # type: ignore[arg-type]
    assert (marks.right, marks.total, marks.accuracy) == (2, 4, 0.5)
    assert marks.examples[2] == ("5 + 6", "1 1", "1 2")
    assert all(text.endswith("<｜Assistant｜>") for text in seen)


def test_a_model_that_has_learnt_nothing_gets_nothing_right(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    marks = mark(small_model(tokenizer), tokenizer, sums("test", 40))
    assert marks.total == 40
    assert marks.accuracy < 0.1
    assert marks.generated_tokens > 0
