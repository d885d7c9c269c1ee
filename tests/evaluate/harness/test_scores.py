"""Means, intervals and majorities of what documents scored."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.evaluate.harness.scores import Document, TaskScore, difference


def score(*documents: Document) -> TaskScore:
    return TaskScore("t", "none", "acc", {str(number): one for number, one in enumerate(documents)})


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4), min_size=1, max_size=6), st.integers(1, 4)
)
def test_pass_at_k_is_the_share_of_ks_with_a_right_answer(rows: list[list[float]], k: int) -> None:
    counted = [statistics.mean(any(chosen) for chosen in itertools.combinations(row, k)) for row in rows]
    made = score(*(Document(tuple(row)) for row in rows))
    assert made.pass_at(k) == pytest.approx(statistics.mean(counted))
    assert made.pass_at(1) == pytest.approx(made.mean)


def test_the_commonest_answer_counts_and_of_equals_the_first() -> None:
    assert score(Document((0, 1, 1), ("7", "8", "8"))).majority == 1
    assert score(Document((1, 0, 0), ("7", "8", "8"))).majority == 0
    assert score(Document((0, 1), ("7", "8"))).majority == 0
    assert score(Document((1.0, 0.0))).majority == 0.5  # no text: nothing to count


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    draw, covered = random.Random(0), 0
    for _ in range(400):
        chances = [draw.random() for _ in range(120)]
        made = score(*(Document(tuple(float(draw.random() < chance) for _ in range(3))) for chance in chances))
        assert made.interval is not None
        covered += made.interval[0] <= 0.5 <= made.interval[1]
    assert 0.92 < covered / 400 < 0.98


def test_a_difference_is_paired_by_document() -> None:
    hard, easy = Document((0.0,)), Document((1.0,))
    first = TaskScore("t", "none", "acc", {"a": easy, "b": easy, "c": hard, "mine": hard})
    second = TaskScore("t", "none", "acc", {"a": easy, "b": hard, "c": hard, "theirs": easy})
    found = difference(first, second)
    assert found is not None
    assert (found.documents, found.difference) == (3, pytest.approx(1 / 3))
    assert found.half_width == pytest.approx(1.959964 * math.sqrt(1 / 9))
    assert not found.is_certain
    assert difference(first, TaskScore("t", "none", "acc", {})) is None


def test_one_document_has_no_interval_and_a_perplexity_its_value() -> None:
    assert score(Document((1.0,))).interval is None
    rolled = TaskScore("t", "none", "bits_per_byte", {}, value=1.5, higher_is_better=False)
    assert (rolled.mean, rolled.interval, rolled.passes) == (1.5, None, 1)
    assert math.isnan(score().mean)


def test_documents_that_are_all_wrong_leave_room() -> None:
    """Wilson 1927: none of ten is up to 28 %."""
    low, high = score(*[Document((0.0,))] * 10).interval or (1.0, 0.0)
    assert (low, high) == (0.0, pytest.approx(0.2775, abs=1e-4))
