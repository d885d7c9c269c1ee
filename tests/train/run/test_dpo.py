"""A stage of preferences: held to the model it began as, which is asked once; killed there, it asks on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from tests.train.killed import finish_in_spite_of
from tests.train.made import losses, metrics, train

from centime.errors import UserError
from centime.train.kinds import preference
from centime.train.kinds.reference import RECORD, ReferenceFile

RECIPE = """
name = "preferred"
[model]
from = "{start}"
[[stage]]
kind = "dpo"
data = "{data}"
sequence_length = 64
batch_size = 6
epochs = 4
lr = 2e-3
beta = 0.5
[run]
tensorboard = false
checkpoint_every = 3
precision = "fp32"
"""


@pytest.fixture
def recipe(finished: Path, tmp_path: Path) -> Path:
    data = tmp_path / "preferences.jsonl"
    rows = [{"prompt": f"{n} =", "chosen": str(n), "rejected": f"no {n}"} for n in range(18)]
    data.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "chosen": "x" * 999}]))
    path = tmp_path / "dpo.toml"
    path.write_text(RECIPE.format(start=finished, data=data))
    return path


@pytest.mark.slow
def test_what_is_chosen_becomes_likelier(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert train(recipe, out) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "dpo: 1 pair of" in said
    assert "18 pairs before its first step" in said
    steps = metrics(out)
    assert steps[0]["main_loss"] == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=1e-5), "it is its reference"
    assert steps[0]["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert steps[-1]["reward_margin"] > 0.2
    assert steps[-1]["reward_accuracy"] > 0.8
    assert {line["stage"] for line in steps} == {"dpo"}


@pytest.mark.slow
def test_a_run_that_is_killed_as_it_asks_its_reference_asks_on(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert train(recipe, whole, "run.micro_batch=4") == 0
    asked: list[list[int]] = []
    computed = preference._log_probabilities

    def ask(live: object, rows: object, numbers: list[int]) -> torch.Tensor:
        asked.append(numbers)
        if len(asked) == 3:
            raise UserError("killed")
        return computed(live, rows, numbers)  # type: ignore[arg-type]

    monkeypatch.setattr(preference, "_log_probabilities", ask)
    with pytest.raises(UserError, match="killed"):
        train(recipe, out, "run.micro_batch=4")
    path = out / "reference" / "dpo.bin"
    path.write_bytes(path.read_bytes()[:-3])  # a record that was being written
    assert train(recipe, out, "run.micro_batch=4", resume=True) == 0
    assert [numbers[0] for numbers in asked] == [0, 4, 8, 7, 11, 15]
    assert [line["main_loss"] for line in metrics(out)] == pytest.approx([line["main_loss"] for line in metrics(whole)])


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 10))])
@pytest.mark.slow
def test_killed_at_any_instant_it_goes_on_to_the_same_bits(seed: int, recipe: Path, tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "out"
    assert train(recipe, whole) == 0
    kills = random.Random(seed).sample(range(1, len(metrics(whole))), 1 if not seed else 3)
    assert finish_in_spite_of(recipe, folder, sorted(kills), seed) >= 1
    assert losses(folder) == losses(whole)
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (whole / weights).read_bytes()


def test_a_reference_of_something_else_is_made_anew_or_missed(tmp_path: Path) -> None:
    path = tmp_path / "reference" / "dpo.bin"
    key = {"rows": "a", "dtype": "b", "model": "c"}
    first = ReferenceFile(path, key, 3, begun=False)
    first.add(torch.ones(2, 2), write=True)
    assert (first.known, first.missing) == (2, 1)
    assert ReferenceFile(path, key, 3, begun=False).known == 2
    with pytest.raises(UserError, match="gone or of other pairs, and the model has changed"):
        ReferenceFile(path, {"rows": "a"}, 3, begun=True)
    first.add(torch.ones(1, 2), write=True)
    assert ReferenceFile(path, {"rows": "a"}, 3, begun=True).values.tolist() == [[1, 1]] * 3
    assert path.stat().st_size == len(json.dumps(key)) + 1 + 3 * RECORD
    assert ReferenceFile(path, {**key, "model": "d"}, 3, begun=False).known == 0
    path.write_bytes(b"\xff\n123")
    assert ReferenceFile(path, key, 3, begun=False).known == 0
