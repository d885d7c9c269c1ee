"""R1's story in small: its problems, what an arm is given, and the whole of it in two steps."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st


def test_a_row_of_keys_leads_where_its_working_says_and_belongs_to_one_part() -> None:
    from benchmarks.r1.machine import CHOOSING, FRESH, LONGEST, SHORTEST, TRAINED, Machine, part_of

    machine = Machine.made(0)
    for part in (TRAINED, CHOOSING, FRESH):
        for presses in (SHORTEST, LONGEST):
            prompt, states = machine.row(random.Random(presses), presses, part)
            assert part_of(prompt) == part
            assert len(prompt) == LONGEST + 2
            state = int(prompt[0])
            for key, after in zip(prompt[1 : presses + 1], states, strict=True):
                state = machine.after[key][state]
                assert state == after
    held_out = [one.prompt for one in machine.held_out(FRESH, 100)]
    assert len(set(held_out)) == 100


@given(st.tuples(*[st.floats(0, 1)] * 6))
def test_form_and_substance_are_the_whole_gain(shares: tuple[float, ...]) -> None:
    from benchmarks.r1.marks import Marks, split

    before, after = (Marks(0.0, 0.0, *shares[at : at + 3]) for at in (0, 3))
    assert sum(split(before, after)) == pytest.approx(after.drawn_right - before.drawn_right)


def test_working_more_often_is_form_and_working_better_is_substance() -> None:
    from benchmarks.r1.marks import Marks, split

    base = Marks(0.1, 3.0, 0.2, 0.5, 0.1)
    assert split(base, Marks(0.5, 9.0, 1.0, 0.5, 0.1)) == pytest.approx((0.32, 0.0))
    assert split(base, Marks(0.1, 3.0, 0.2, 1.0, 0.1)) == pytest.approx((0.0, 0.1))


def test_the_spread_is_that_of_students_t() -> None:
    from benchmarks.r1.table import spread

    assert spread([50.0], " %") == "50.0 %"
    assert spread([40.0, 50.0, 60.0], " %") == "50.0 ± 24.8 %"


@pytest.mark.slow
def test_the_story_is_told_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.r1 import marks, story
    from benchmarks.r1.__main__ import run

    monkeypatch.setattr(marks, "PROBLEMS", 10)
    for name, small in {"BASE_STEPS": 2, "TRAINED_ROWS": 50, "CHOOSING_ROWS": 10}.items():
        monkeypatch.setattr(story, name, small)
    recipe = story.RECIPE.replace("prompts = 12", "prompts = 3").replace("samples = 12", "samples = 3")
    monkeypatch.setattr(story, "RECIPE", recipe)
    run(tmp_path / "r1", range(1), steps=1, price="$0.10/h")
    told = capsys.readouterr().out
    (seed,) = json.loads((tmp_path / "r1" / "result.json").read_text())
    names = [arm["name"] for arm in seed["arms"]]
    assert names[:2] == ["base", "reinforced"]
    assert all(name in told for name in names)
    sizes = {arm["name"]: arm["parameters"] for arm in seed["arms"]}
    assert sizes[names[-1]] == pytest.approx(sizes["base"] / 2, rel=0.1)
    spent = {arm["name"]: arm["seconds"] for arm in seed["arms"]}
    assert spent["sft on right answers"] >= spent["reinforced"]
    assert all(spent[name] < spent["reinforced"] + 3 for name in names[2:6])  # what finds nothing right tunes nothing
    for picture in ("accuracy.svg", "length.svg"):
        assert (tmp_path / "r1" / picture).read_text().startswith("<svg")
