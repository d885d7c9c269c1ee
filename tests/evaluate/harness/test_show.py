"""Tables of scores: every metric by its name, and a difference that says when it may be chance."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table

from centime.evaluate.harness.kept import Results, place_for
from centime.evaluate.harness.scores import Document, TaskScore
from centime.evaluate.harness.show import differences_table, scores_table


def results(model: str, *scores: TaskScore) -> Results:
    return Results(model, "2026-12-01T10:20:30+00:00", {}, list(scores), {})


def task(name: str, *documents: tuple[float, ...]) -> TaskScore:
    texts = tuple("ab"[int(one)] for one in documents[0]) if documents and len(documents[0]) > 1 else ()
    return TaskScore(name, "none", "acc", {str(at): Document(one, texts) for at, one in enumerate(documents)})


ROLLED = TaskScore("text", "none", "bits_per_byte", {}, value=1.5, higher_is_better=False)


def shown(table: Table) -> list[list[str]]:
    return [[str(column.header), *map(str, column.cells)] for column in table.columns]


def test_one_pass_has_a_mean_with_its_interval_and_several_have_more() -> None:
    one = shown(scores_table(results("m", task("t", (1.0,), (0.0,)), ROLLED)))
    assert [column[0] for column in one] == ["task", "score", "documents"]
    assert one[0][1:] == [task("t").name, ROLLED.name]
    assert one[1][1].startswith("0.500 (0.")
    assert one[1][2] == "1.500"
    assert one[2][1:] == ["2", ""]
    several = shown(scores_table(results("m", task("t", (1.0, 0.0, 0.0)), ROLLED)))
    assert [column[0] for column in several] == ["task", "pass@1", "pass@3", "majority of 3", "documents"]
    assert [column[1] for column in several[2:]] == ["1.000", "0.000", "1"]
    assert [column[2] for column in several[2:]] == ["", "", ""]


def test_a_difference_says_whether_it_may_be_chance() -> None:
    first = results(
        "a",
        *(task("all", *[(1.0,)] * 9), task("half", (1.0,), (0.0,)), task("one", (1.0,)), task("alone", (1.0,))),
        ROLLED,
    )
    second = results("b", task("all", *[(1.0,)] * 9), task("half", (0.0,), (0.0,)), task("one", (0.0,)), ROLLED)
    table = differences_table(first, second)
    names, ours, theirs, apart, documents = shown(table)
    assert (ours[0], theirs[0]) == ("a", "b")
    assert names[1:] == [score.name for score in first.scores]
    assert apart[1:] == [
        "+0.000 ± 0.000, the same",
        "+0.500 ± 0.980, may be chance",
        "+1.000, may be chance",
        "",
        "+0.000",
    ]
    assert theirs[1:] == ["1.000", "0.000", "0.000", "not asked", "1.500"]
    assert documents[1:] == ["9", "2", "1", "", ""]


@pytest.mark.parametrize(
    ("model", "name"),
    [("runs/my model", "runs-my-model"), ("é_1.2-x", "é_1.2-x"), ("a" * 50 + "b" * 100, "b" * 100)],
)
def test_results_are_kept_by_model_and_moment(model: str, name: str, centime_home: Path) -> None:
    assert place_for(results(model)) == centime_home / "evaluations" / f"{name}-2026-12-01T102030Z.json"
