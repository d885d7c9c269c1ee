"""On-policy distillation: the student's own answers, in the steps that are its own, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.train.made import metrics, train
from tests.tune.made import start

import centime
from centime.data.tokenizers import load_tokenizer
from centime.recipe import Distil
from centime.train.kinds import KINDS
from centime.train.stages import Batch
from centime.tune.stage import OnPolicyDistilKind
from centime.tune.stage.on_policy import StudentAnswers

RECIPE = """
name = "gkd"
[model]
from = "{student}"
[[stage]]
kind = "distil"
teacher = "{teacher}"
data = "{data}"
beta = 1.0
drawn = 1.0
max_tokens = 6
sequence_length = 48
batch_size = 4
epochs = 3.0
lr = 3e-3
mtp_weight = 0.0
mtp_weight_end = 0.0
[run]
precision = "fp32"
tensorboard = false
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A teacher that has learned a little, and a student of fewer steps."""
    folders = [tmp_path_factory.mktemp(name) / "model" for name in ("teacher", "student")]
    return start(folders[0], 30), start(folders[1], 3)


def test_the_student_learns_from_what_the_teacher_makes_of_its_own_answers(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    teacher, student = models
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"{n}+{n}", "answer": "0"}) + "\n" for n in range(8)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(student=student, teacher=teacher, data=data))
    kinds = {**KINDS, "distil": OnPolicyDistilKind()}
    assert train(recipe, tmp_path / "run", kinds=kinds) == 0
    steps = metrics(tmp_path / "run")
    assert all(step["drawn"] == 1.0 and 1 <= step["length"] <= 6 for step in steps)
    assert steps[-1]["divergence"] < steps[0]["divergence"]
    assert train(recipe, tmp_path / "given", "stage.0.drawn=0.0", kinds=kinds) == 0
    assert all("drawn" not in step for step in metrics(tmp_path / "given"))


def test_drawn_answers_follow_their_prompts_and_are_the_same_again(models: tuple[Path, Path]) -> None:
    folder = models[1]
    model, tokenizer = centime.load(folder), load_tokenizer(folder)
    rows = torch.tensor([[*([5] * 4), 9, 9, 9], [6, 6, 9, 9, 9, 0, 0]])
    weights = torch.tensor([[0, 0, 0, 1, 1, 1.0], [0, 1, 1, 1, 0, 0]])
    given = Batch(rows, 6.0, 2, 10, weights, torch.tensor([6, 4]))
    section = Distil(teacher=folder, data=folder, drawn=0.5, max_tokens=3, sequence_length=12)
    drawer = StudentAnswers(model, tokenizer, section, seed=3)
    found, again, later = (drawer.batch(given, step) for step in (1, 1, 2))
    assert torch.equal(found.rows, again.rows)
    assert not torch.equal(found.rows, later.rows) or found.rows.shape != later.rows.shape
    assert found.weights is not None
    for i, prompt in enumerate(([5] * 4, [6, 6])):
        assert found.rows[i, : len(prompt)].tolist() == prompt
        own = int(found.weights[i].sum())
        assert 1 <= own <= 3
        assert found.weights[i, len(prompt) - 1 : len(prompt) - 1 + own].tolist() == [1.0] * own
    assert found.loss_tokens == float(found.weights.sum())
    share = sum(drawer.own(step) for step in range(400)) / 400
    assert 0.4 < share < 0.6
    tight = StudentAnswers(model, tokenizer, section.model_copy(update={"sequence_length": 4}), seed=3)
    assert tight.batch(given, 1) is given, "no room for an answer"
