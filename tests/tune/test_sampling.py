"""What a step asks, grades and learns from: places, redraws, texts and rows, on a small model that guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tune.made import start

import centime
from centime.data.tokenizers import load_tokenizer
from centime.recipe.rl_section import ReinforcementSection
from centime.tune.advantage import advantages
from centime.tune.groups import Drawn, Group, Sample, batches
from centime.tune.problems import Problem
from centime.tune.rewards import AnswerText, Grade, Grader
from centime.tune.rewards.builtin import number
from centime.tune.sampling import Sampler

PROBLEMS = {"source": "chains", "chat": False}


class Numbered:
    """Problems that name their number; every third one has no answer that a digit could be."""

    fingerprint = "numbered"

    def problem(self, number: int, progress: float) -> Problem:
        return Problem(f"{number % 10}+{number // 10 % 10}:", "none" if number % 3 == 0 else "7", {"number": number})

    def held_out(self) -> list[Problem]:
        return [self.problem(one, 0.0) for one in range(4)]


class Heard:
    """A rule that keeps what it was asked."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.answers: list[AnswerText] = []

    def __call__(self, answers: list[AnswerText]) -> list[float]:
        self.answers += answers
        return [number(one.text, one.problem.answer) for one in answers]

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start(tmp_path_factory.mktemp("base") / "model", steps=8)


def sampler(folder: Path, **settings: Any) -> tuple[Sampler, Heard]:
    wanted = ReinforcementSection(problems=PROBLEMS, max_tokens=4, samples=3, prompts=5, **settings)  # type: ignore[arg-type]
    heard = Heard()
    return Sampler(centime.load(folder), load_tokenizer(folder), wanted, Grader(heard, wanted), 7), heard


@pytest.mark.parametrize("redraws", [0, 3])
def test_a_step_asks_further_problems_for_those_without_a_signal_and_counts_them_all(
    folder: Path, redraws: int
) -> None:
    drawing, heard = sampler(folder, redraws=redraws)
    drawn, after = drawing.step(Numbered(), 2, 10, 0.5, lambda: None)
    asked = list(dict.fromkeys(one.problem.row["number"] for one in heard.answers))
    assert asked == list(range(10, after)), "each once, in a row"
    assert len(drawn.groups) == 5
    assert drawn.drawn == len(heard.answers) == 3 * len(asked)
    assert drawn.answer_tokens == sum(one.tokens for one in heard.answers)
    assert drawn.prompt_tokens == sum(len(drawing.prompt(Numbered().problem(one, 0.0))) for one in asked)
    assert drawn.redrawn == len(asked) - 5
    silent = [group.silent for group in drawn.groups]
    assert any(silent) if not redraws else not any(silent[:-1])
    assert len({tuple(tuple(sample.tokens) for sample in group.samples) for group in drawn.groups}) > 1
    again, _ = sampler(folder, redraws=redraws)
    assert again.step(Numbered(), 2, 10, 0.5, lambda: None)[0] == drawn, "a step taken again gets the same answers"
    other, _ = again.step(Numbered(), 3, 10, 0.5, lambda: None)
    assert [group.samples for group in other.groups] != [group.samples for group in drawn.groups]


def test_an_answer_is_graded_and_shown_without_its_end_and_learned_with_it(folder: Path) -> None:
    drawing, heard = sampler(folder)
    drawn, _ = drawing.step(Numbered(), 0, 0, 0.0, lambda: None)
    tokens = load_tokenizer(folder)
    samples = [sample for group in drawn.groups for sample in group.samples]
    assert {sample.cut for sample in samples} == {False, True}
    for sample, answer in zip(samples, heard.answers, strict=True):
        assert sample.cut == (tokens.eos_id not in sample.tokens) == answer.cut
        words = [one for one in sample.tokens if one != tokens.eos_id]
        assert drawing.text(sample) == answer.text == tokens.decode(words)
        assert len(sample.tokens) == len(sample.logprobs) == answer.tokens == len(words) + (not sample.cut)


def test_an_evaluation_takes_the_likeliest_answer_to_each(folder: Path) -> None:
    drawing, heard = sampler(folder)
    drawn = drawing.evaluate(Numbered().held_out())
    assert [len(group.samples) for group in drawn.groups] == [1] * 4
    assert (drawn.drawn, drawn.answer_tokens) == (4, sum(one.tokens for one in heard.answers))
    net = centime.load(folder)
    for group in drawn.groups:
        ids = [*group.prompt, *group.samples[0].tokens]
        with torch.no_grad():
            best = net(torch.tensor([ids]))[0, len(group.prompt) - 1 : -1, : load_tokenizer(folder).vocab_size].argmax(
                -1
            )
        assert best.tolist() == group.samples[0].tokens


answers = st.tuples(st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.tuples(answers, answers)), min_size=1, max_size=5),
    st.integers(1, 3),
    st.sampled_from(["count", "mask"]),
)
def test_rows_hold_what_was_drawn_where_the_model_predicts_it(
    made: list[tuple[int, tuple[tuple[int, float, bool], ...]]], updates: int, overlong: str
) -> None:
    """Every answer with an advantage stands in one row of one update: its tokens, their probabilities, its worth."""
    section = ReinforcementSection(problems=PROBLEMS, updates=updates, overlong=overlong, max_tokens=4)  # type: ignore[arg-type]
    groups = [
        Group(
            Problem("p", "7"),
            [100 + i] * prompt,
            [
                Sample([10 * i + j + 1] * length, [-0.1 * (t + 1) for t in range(length)], cut, Grade(reward, 0.0, 0.0))
                for j, (length, reward, cut) in enumerate(own)
            ],
        )
        for i, (prompt, own) in enumerate(made)
    ]
    drawn = Drawn(groups, 0, 0, 0)
    worth = advantages(drawn.rewards, section.loss.advantage)
    wanted = [
        (group.prompt, sample, float(worth[i, j]))
        for i, group in enumerate(groups)
        for j, sample in enumerate(group.samples)
        if len({one.grade.reward for one in group.samples}) > 1 and not (overlong == "mask" and sample.cut)
    ]
    found = []
    parts = batches(drawn, section)
    assert len(parts) <= updates
    for part in parts:
        assert part.weights is not None
        assert part.lengths is not None
        assert part.tokens == int(part.lengths.sum())
        for i, row in enumerate(part.rows):
            own = part.weights[i].nonzero()[:, 0]
            first, last = int(own[0]), int(own[-1])
            assert len(own) == last - first + 1
            assert int(part.lengths[i]) == last + 1
            assert not row[last + 2 :].any()
            assert not part.beside["old"][i][part.weights[i] == 0].any()
            logprobs = part.beside["old"][i, own].tolist()
            found.append(
                (row[: first + 1].tolist(), row[own + 1].tolist(), logprobs, float(part.beside["advantage"][i]))
            )
    assert [(p, t, w) for p, t, _, w in found] == [(prompt, sample.tokens, w) for prompt, sample, w in wanted]
    for (*_, logprobs, _), (_, sample, _) in zip(found, wanted, strict=True):
        assert logprobs == pytest.approx(sample.logprobs)
