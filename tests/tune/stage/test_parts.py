"""What a run of reinforcement keeps, says and gives up by, apart from any model."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.errors import UserError
from centime.recipe.rl_section import ReinforcementSection
from centime.train.run.callbacks.rewards import reward_parts
from centime.tune.groups import Drawn, Group, Sample
from centime.tune.problems import Problem
from centime.tune.rewards import Grade
from centime.tune.stage.health import RunHealth
from centime.tune.stage.journal import Journal

numbers = st.floats(allow_nan=False, allow_infinity=False)
samples = st.builds(
    lambda tokens, cut, grade: Sample(tokens, [-0.1 * one for one in tokens], cut, Grade(*grade)),
    st.lists(st.integers(0, 2**31), min_size=1, max_size=3),
    st.booleans(),
    st.tuples(numbers, st.floats(0, 1), st.floats(0, 1)),
)
problems = st.builds(Problem, st.text(), st.text(), st.dictionaries(st.text(), st.integers()), st.integers(0, 9))
groups = st.builds(Group, problems, st.lists(st.integers(0, 99)), st.lists(samples, min_size=1, max_size=2))


@settings(max_examples=25, deadline=None)
@given(st.lists(groups, max_size=2), st.integers(0, 99), st.integers(0, 10**6), st.dictionaries(st.text(), numbers))
def test_a_journal_reads_what_it_wrote_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, made: list[Group], count: int, after: int, found: dict[str, float]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "deep")
    drawn = Drawn(made, count, count + 1, count + 2, count + 3, count + 4)
    journal.write(7, drawn, after)
    journal.write_evaluation(7, found)
    assert journal.read(7) == (drawn, after)
    assert journal.read_evaluation(7) == found
    assert (journal.read(8), journal.read_evaluation(8)) == (None, None)


def test_a_journal_forgets_what_a_checkpoint_knows_and_draws_anew_what_is_damaged(tmp_path: Path) -> None:
    journal, drawn = Journal(tmp_path), Drawn([], 1, 2, 3)
    for step in (8, 9, 10):
        journal.write(step, drawn, step)
        journal.write_evaluation(step, {"accuracy": 0.5})
    (tmp_path / "notes-mine.json").write_text("kept")
    journal.forget(10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("evaluation-00000010.json", "notes-mine.json", "step-00000010.json")
    ]
    for text in ("{", "[]", '{"after": 1}', '{"groups": [{}], "after": 1}'):
        for path in tmp_path.glob("*-00000010.json"):
            path.write_text(text)
        assert journal.read(10) is None
        assert journal.read_evaluation(10) in (None, {"after": 1.0})


def step(right: float = 0.0, *, cut: int = 0, formed: float = 1.0, of: int = 4) -> Drawn:
    """A step of one group of `of` answers alike, of which `cut` are cut off."""
    alike = [Sample([1], [-1.0], at < cut, Grade(right, right, formed)) for at in range(of)]
    return Drawn([Group(Problem("p", "1"), [1], alike)], of, 1, of)


@pytest.mark.parametrize(
    ("drawn", "entropy", "cause"),
    [
        (step(0.9, cut=4), 0.0, "All samples are right"),
        (step(cut=3, formed=0.0), 0.0, "Most answers are cut off"),
        (step(cut=2, formed=0.04), 0.0, "No answer has the form"),
        (step(formed=0.05), 0.0099, r"The policy has narrowed to one answer \(entropy 0.0099 nats"),
        (step(), 0.01, "No sample is right"),
        (step(), None, "No sample is right"),
        (replace(step(), groups=[]), 0.5, "No sample is right"),
    ],
)
def test_a_step_without_a_signal_is_explained_once_and_too_many_in_a_row_end_the_run(
    drawn: Drawn, entropy: float | None, cause: str
) -> None:
    settings = ReinforcementSection(problems={"source": "chains"}, dead_after=3)  # type: ignore[arg-type]
    health = RunHealth(settings)

    def looked(number: int, share: float) -> str | None:
        return health.look(number, drawn, share, entropy)

    for start in (1, 4):
        said = looked(start, 0.97)
        assert said is not None
        assert re.search(cause, said)
        assert f"step {start}: the loss is 0, for 97% of the groups" in said
        assert looked(start + 1, 1.0) is None, "once is enough"
        assert looked(start + 2, 0.96) is None, "it learns again"
    looked(7, 1.0)
    looked(8, 1.0)
    if cause == "All samples are right":
        assert looked(9, 1.0) is None, "what is learned is not dead"
        return
    with pytest.raises(UserError, match=f"in 3 steps in a row, the last one step 9.*{cause}"):
        looked(9, 1.0)


def test_the_live_line_has_what_there_is() -> None:
    record: dict[str, Any] = {
        **{"step": 12, "reward": 0.43, "reward_interval": 0.05, "right": 0.41, "silent": 0.25, "length": 14.2},
        **{"tokens_per_s": 9800.0, "seconds_left": 123.0},
    }
    assert [text for _, text in reward_parts(record, 100)] == [
        *("12/100", "reward 0.430 ± 0.050", "right 41 %", "silent 25 %", "14.2 tokens", "9.80 K tok/s", "2m 03s")
    ]
    more = reward_parts(record | {"entropy": 0.38, "cost": 0.0012, "currency": "USD"}, 100)
    assert [text for _, text in more][5:] == ["entropy 0.380", "9.80 K tok/s", "$0.00120", "2m 03s"]
    assert sorted(more, reverse=True)[0][1] == "9.80 K tok/s", "the first to go for want of room"
