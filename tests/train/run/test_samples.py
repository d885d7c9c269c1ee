"""What a model is asked at the end of a stage, and how its answer is kept: one line a stage, the latest."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from centime.errors import UserError
from centime.train.run import samples
from centime.train.run.samples import LENGTH, write_sample
from centime.train.stages import PairRows


class Made:
    """A model that writes `text`, its stage and its recipe; `asked` are the prompts and how they were answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self.text = "and on"
        self.fails: Exception | None = None
        self.trains = False
        self.read: list[Any] = []
        self.recipe: Any = SimpleNamespace(data=SimpleNamespace(held_out=["held out"], train=["train"]))
        rows, stage = SimpleNamespace(prompt=lambda: None), SimpleNamespace(sequence_length=64)
        self.plan: Any = SimpleNamespace(name="pretrain", rows=rows, stage=stage)
        self.tokenizer: Any = SimpleNamespace(decode=lambda ids: " ".join(map(str, ids)))
        self.rows = torch.arange(200).view(2, 100)
        monkeypatch.setattr(samples, "Session", lambda *_: self)
        monkeypatch.setattr(samples, "TextRows", self.text_rows)

    def answer(self, prompt: list[int], params: Any) -> Any:
        if self.fails is not None:
            raise self.fails
        self.asked.append((prompt, params.temperature, params.max_tokens))
        return SimpleNamespace(text=self.text)

    def train(self) -> None:
        self.trains = True

    def text_rows(self, sources: Any, length: int, **more: int) -> Any:
        self.read.append((sources, length, more))
        return SimpleNamespace(loader=SimpleNamespace(rows=lambda first, count: self.rows[first : first + count]))

    def write(self, path: Path, tokens: int = 7) -> list[dict[str, Any]]:
        model: Any = self
        write_sample(path, model, self.tokenizer, self.plan, tokens, self.recipe)
        assert self.trains
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


@pytest.mark.parametrize(("length", "prompt"), [(64, 24), (48, 24), (46, 23), (2, 1)])
def test_text_goes_on_from_the_beginning_of_the_first_held_out_row(
    made: Made, tmp_path: Path, length: int, prompt: int
) -> None:
    made.plan.stage.sequence_length = length
    (sample,) = made.write(tmp_path / "samples.jsonl")
    assert made.asked == [([*range(prompt)], 0.0, LENGTH)]
    assert sample == {
        "stage": "pretrain", "tokens": 7, "prompt": " ".join(map(str, range(prompt))), "text": "and on",
    }  # fmt: skip
    made.recipe.data.held_out = []
    made.write(tmp_path / "samples.jsonl")
    assert made.read == [(source, length, {"seed": 0, "mtp_depth": 0}) for source in (["held out"], ["train"])]


def test_after_pairs_it_is_asked_the_first_pairs_prompt(made: Made, tmp_path: Path) -> None:
    tokens = torch.tensor([[5, 6, 7, 8, 9], [1, 2, 3, 4, 5]])
    answers = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]])
    pairs = object.__new__(PairRows)
    pairs.loader = SimpleNamespace(  # type: ignore[assignment]
        rows=lambda first, count: (tokens[first : first + count], answers[first : first + count])
    )
    made.plan.rows = pairs
    made.write(tmp_path / "samples.jsonl")
    assert made.asked[0][0] == [5, 6, 7]


def test_a_stage_has_its_latest_sample_and_the_others_keep_theirs(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    made.write(path, 1)
    made.plan.name = "context"
    made.write(path, 2)
    made.plan.name, made.text = "pretrain", "é 猫"
    found = made.write(path, 3)
    assert [(line["stage"], line["tokens"], line["text"]) for line in found] == [
        ("context", 2, "and on"),
        ("pretrain", 3, "é 猫"),
    ]
    assert "猫" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [OSError("full"), UserError("it has one position")])
def test_a_sample_that_cannot_be_had_costs_no_run_and_none_of_the_others(
    made: Made, tmp_path: Path, error: Exception
) -> None:
    path = tmp_path / "samples.jsonl"
    before = made.write(path)
    made.fails, made.trains, made.plan.name = error, False, "context"
    assert made.write(path) == before
