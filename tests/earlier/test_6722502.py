"""Runs of reinforcement that were cut off at 6722502 go on today: an [rl] recipe, one of adapters, a stage of several.

6722502.tar.xz was written by that revision: each run had drawn and graded its fourth step, and its newest checkpoint
was of the second one, with a reference of the divergence.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from tests.tune.made import lines, reinforce

import centime
from centime import recipe
from centime.errors import UserError
from centime.train.folder.as_model import usable

ARCHIVE = Path(__file__).with_name("6722502.tar.xz")


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["rl-cut", "lora-cut", "stages-cut"])
def test_a_stopped_run_goes_on_from_what_it_had_graded(earlier: Path, name: str) -> None:
    folder = Path(name)
    (kept,) = folder.glob("drawn/**/step-00000003.json")
    groups = json.loads(kept.read_text())["groups"]
    rewards = [sample["grade"]["reward"] for group in groups for sample in group["samples"]]
    before = [line for line in lines(folder) if line["step"] <= 2]
    reinforce(folder / "recipe.toml", [], folder, resume=True)
    found = lines(folder)
    own = [line for line in found if line["stage"] == "rl"]
    assert [line["step"] for line in own if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in own if "eval_accuracy" in line] == [0, 2, 4, 6]
    assert [line for line in found if line["step"] <= 2] == before
    (fourth,) = (line for line in own if line["step"] == 4 and "loss" in line)
    assert fourth["reward"] == pytest.approx(sum(rewards) / len(rewards)), "graded once"
    assert fourth["kl"] > 0 or fourth["silent"] == 1, "the reference is of the run's beginning"
    assert not list(folder.glob("drawn/*.json")), "what it had drawn is in the folder of its stage"
    assert centime.load(folder).config.hidden_size == 16
    assert recipe.read(folder / "recipe.toml").data.tokenizer is not None, "it says what its model is from here on"


def test_what_an_earlier_recipe_does_not_say_is_asked_for(earlier: Path) -> None:
    with pytest.raises(UserError, match=r"begun by an earlier version .*: centime train rl-cut --resume"):
        usable(Path("rl-cut"), print)
    with pytest.raises(UserError, match=r"begun with another recipe: stage.0.batch_size, stage.0.samples differ"):
        reinforce(Path("rl-cut/recipe.toml"), ["rl.samples=5"], Path("rl-cut"), resume=True)
