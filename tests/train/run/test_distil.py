"""A stage of distillation: the student comes to the teacher, whose weights stay, and what does not fit is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.train.made import metrics, train

import centime
from centime.errors import UserError

RECIPE = """
name = "distilled"
[model]
from = "{start}"
[[stage]]
kind = "distil"
teacher = "{teacher}"
data = "{data}"
sequence_length = 32
batch_size = 6
epochs = 10
lr = 3e-3
mtp_weight = 0.0
mtp_weight_end = 0.0
[run]
tensorboard = false
precision = "fp32"
"""


@pytest.fixture
def recipe(finished: Path, tmp_path: Path) -> Path:
    """The student is the teacher with other weights."""
    data, start = tmp_path / "chats.jsonl", tmp_path / "student"
    data.write_text("".join(json.dumps({"prompt": f"{n} =", "answer": str(n)}) + "\n" for n in range(18)))
    shutil.copytree(finished / "model", start)
    student = centime.load(start)
    student.init_weights(5)
    for file in start.glob("*.safetensors*"):
        file.unlink()
    from centime.model.checkpoint import save

    save(student, tmp_path / "made")
    for file in (tmp_path / "made").glob("*.safetensors*"):
        shutil.copy(file, start)
    path = tmp_path / "distil.toml"
    path.write_text(RECIPE.format(start=start, teacher=finished, data=data))
    return path


@pytest.mark.slow
def test_the_student_comes_to_its_teacher(recipe: Path, finished: Path, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in centime.load(finished).state_dict().items()}
    assert train(recipe, tmp_path / "out") == 0
    steps = metrics(tmp_path / "out")
    assert steps[-1]["divergence"] < 0.5 * steps[0]["divergence"]
    assert steps[0]["divergence"] == pytest.approx(steps[0]["main_loss"], rel=1e-5)
    after = centime.load(finished).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert train(recipe, tmp_path / "hard", "stage.0.hard_weight=1.0", "stage.0.epochs=1.0") == 0
    assert metrics(tmp_path / "hard")[0]["main_loss"] > metrics(tmp_path / "hard")[0]["divergence"]


def test_a_teacher_that_does_not_fit_is_said(recipe: Path, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished / "model", other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:-1]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    recipe.write_text(recipe.read_text().replace(str(finished), str(other)))
    with pytest.raises(UserError, match=r"has another tokenizer than .* give one of the same, or let it write answers"):
        train(recipe, tmp_path / "out")
    recipe.write_text(recipe.read_text().replace(str(other), str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="nowhere"):
        train(recipe, tmp_path / "out")
