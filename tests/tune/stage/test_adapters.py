"""Reinforcement of adapters: roll-outs read the adapted weights, and the base stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.tune.made import RECIPE, lines, reinforce, start, write_recipe

import centime
from centime.errors import UserError
from centime.model.digest import weights_digest

LORA = (
    RECIPE.replace("steps = 6", "steps = 4")
    + '\n[rl.loss]\nkl = 0.1\n[lora]\nrank = 2\ntargets = ["all-linear", "head"]\n'
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    return write_recipe(folder, start(folder / "model", steps=12), LORA)


def run(recipe: Path, folder: Path, *settings: str, resume: bool = False) -> None:
    reinforce(recipe, list(settings), folder, resume=resume)


@pytest.mark.slow
def test_samples_are_drawn_by_what_is_trained_and_a_run_goes_on_to_the_same_bits(recipe: Path, tmp_path: Path) -> None:
    base, out = recipe.parent / "model", tmp_path / "run"
    run(recipe, out, "run.deterministic=true")
    steps = [line for line in lines(out) if "loss" in line]
    apart = [line["mismatch_max"] for line in steps if "mismatch_max" in line]  # of steps that had a signal
    assert apart
    assert max(apart) == 0, apart
    assert max(line.get("drawn_apart", 0) for line in steps) < 1e-4
    assert sum("drawn_apart" in line for line in steps) == len(apart)
    assert weights_digest(centime.load(out)) != weights_digest(centime.load(base))
    newest = load_file(out / "checkpoints" / "step-00000004" / "tensors.safetensors")
    assert all(name == "adamw/step" or name.endswith((".a", ".b")) for name in newest)
    assert any(name.startswith("beside/reference/") for name in newest)
    again = tmp_path / "again"
    shutil.copytree(out, again)
    shutil.rmtree(again / "adapter")
    shutil.rmtree(again / "checkpoints" / "step-00000004")
    run(again, again, resume=True)
    weights = "adapter/adapter_model.safetensors"
    assert (again / weights).read_bytes() == (out / weights).read_bytes()
    shutil.rmtree(again / "adapter")
    meta = again / "checkpoints" / "step-00000004" / "state.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"base": "another"}))
    with pytest.raises(UserError, match="have changed since its last checkpoint"):
        run(again, again, resume=True)
    with pytest.raises(UserError, match=r"holds an adapter .LoRA., not a model"):
        run(recipe, tmp_path / "no", f"model.from={out}")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lora.dropout=0.1", "other likelihoods than it drew with"),
        ("optimizer.name=muon", "orthogonalises whole matrices"),
        ("rl.bias_update_speed=0.1", "rl.bias_update_speed trains what is frozen"),
    ],
)
def test_what_adapters_cannot_be_reinforced_with_is_said(setting: str, said: str, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        run(recipe, tmp_path / "out", setting)
