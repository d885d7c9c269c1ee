"""Adapters trained beside weights that stay: through stages, resumed to the same bits, used and merged."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.small import small_folder
from tests.train.killed import finish_in_spite_of
from tests.train.made import losses, metrics, train

import centime
from centime.errors import UserError
from centime.model.digest import weights_digest
from centime.train.folder.as_model import export, usable
from centime.train.folder.with_adapter import export_merged, export_peft
from centime.train.run.command import train as run_train

RECIPE = """
name = "adapted"
[model]
from = "{base}"
[lora]
rank = 3
targets = ["all-linear", "experts", "router"]
[[stage]]
kind = "sft"
data = "{folder}/pairs.jsonl"
sequence_length = 32
batch_size = 6
epochs = 2
lr = 1e-2
[[stage]]
kind = "dpo"
data = "{folder}/preferences.jsonl"
sequence_length = 64
batch_size = 6
epochs = 1
lr = 1e-3
[run]
tensorboard = false
checkpoint_every = 2
keep = 9
precision = "fp32"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    base = small_folder(folder / "base")
    rows = [{"prompt": f"{n} =", "answer": str(n), "chosen": str(n), "rejected": f"no {n}"} for n in range(12)]
    for name, keys in (("pairs", ("prompt", "answer")), ("preferences", ("prompt", "chosen", "rejected"))):
        text = "".join(json.dumps({key: row[key] for key in keys}) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    (folder / "lora.toml").write_text(RECIPE.format(base=base, folder=folder))
    return folder / "lora.toml"


@pytest.fixture(scope="module")
def tuned(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTIME_HOME", str(out.parent / "home"))
        assert train(recipe, out) == 0
    return out


@pytest.mark.slow
def test_adapters_learn_and_a_checkpoint_holds_them_alone(recipe: Path, tuned: Path) -> None:
    losses = [row["main_loss"] for row in metrics(tuned) if row["stage"] == "sft"]
    assert losses[-1] < losses[0]
    newest = load_file(max((tuned / "checkpoints").glob("step-*")) / "tensors.safetensors")
    assert all(name == "adamw/step" or name.endswith((".a", ".b")) for name in newest)
    assert not (tuned / "model").exists()
    base, folder = centime.load(recipe.parent / "base"), centime.load(tuned)
    apart = [name for name, tensor in base.state_dict().items() if not torch.equal(tensor, folder.state_dict()[name])]
    assert {name.rpartition(".")[0] for name in apart} >= {"layers.1.ffn.experts", "layers.1.ffn.router"}
    assert not [name for name in apart if "norm" in name or name.startswith(("embed", "head")) or "bias" in name]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_bits(tuned: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(tuned, again)
    shutil.rmtree(again / "adapter")
    for step in ("step-00000006", "step-00000004"):
        shutil.rmtree(again / "checkpoints" / step, ignore_errors=True)
    info = again / "run.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"finished": False}))
    assert run_train(again, [], None, resume=True, budget=None, price=None).code == 0
    names = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")
    for name in names:
        assert (again / name).read_bytes() == (tuned / name).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_instant_it_goes_on_to_the_same_bits(
    seed: int, recipe: Path, tuned: Path, tmp_path: Path
) -> None:
    """While adapters learn from pairs, while their model is asked what it prefers, and while they learn from that."""
    folder = tmp_path / "run"
    kills = random.Random(seed).sample(range(1, len(metrics(tuned))), 2)
    assert finish_in_spite_of(recipe, folder, sorted(kills), seed) >= 1
    assert losses(folder) == losses(tuned)
    name = "adapter/adapter_model.safetensors"
    assert (folder / name).read_bytes() == (tuned / name).read_bytes()


@pytest.mark.slow
def test_what_is_merged_is_what_was_trained(recipe: Path, tuned: Path, tmp_path: Path) -> None:
    assert "with the adapter of" in export_merged(tuned, tmp_path / "merged")
    assert weights_digest(centime.load(tmp_path / "merged")) == weights_digest(centime.load(tuned))
    assert (tmp_path / "merged" / "tokenizer.json").is_file()
    export_merged(recipe.parent / "base", tmp_path / "other", adapter=tuned / "adapter")
    assert weights_digest(centime.load(tmp_path / "other")) == weights_digest(centime.load(tuned))
    export_peft(tuned, tmp_path / "peft", step=2)
    first = centime.load(recipe.parent / "base", adapter=tmp_path / "peft")
    assert weights_digest(first) != weights_digest(centime.load(tuned))
    for given in (tuned, tuned / "checkpoints" / "step-00000002"):
        with pytest.raises(UserError, match="is an adapter: --merge writes it with its model"):
            export(given, tmp_path / "never", None)
    with pytest.raises(UserError, match="has no adapter to merge"):
        export_merged(recipe.parent / "base", tmp_path / "never")


@pytest.mark.slow
def test_an_unfinished_run_is_of_use_and_another_base_is_noticed(
    recipe: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again, base = tmp_path / "again", recipe.parent / "base"
    shutil.copytree(tuned, again)
    shutil.rmtree(again / "adapter")
    assert centime.load(usable(again, print)).config == centime.load(base).config
    info = again / "run.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"finished": False}))
    aside = base.rename(base.with_name("aside"))
    try:
        with pytest.raises(UserError, match="base does not exist"):
            run_train(again, [], None, resume=True, budget=None, price=None)
        changed = centime.load(aside)
        changed.norm.weight.data += 1
        centime.save(changed, base, tokenizer=aside)
        with pytest.raises(UserError, match="have changed since its last checkpoint"):
            run_train(again, [], None, resume=True, budget=None, price=None)
    finally:
        shutil.rmtree(base, ignore_errors=True)
        aside.rename(base)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lora.rank=0", "lora.rank"),
        ('lora.targets=["q_prj"]', "nothing called 'q_prj'"),
        ("optimizer.name=muon", "orthogonalises whole matrices"),
        ("lora.dropout=0.1", "has no meaning beside experts"),
        ("stage.0.bias_update_speed=0.1", "trains what is frozen under lora"),
        ("model.rope_theta=5", "changes the model, and an adapter is of a model as it is"),
        ("model.from=none", "lora trains beside weights that exist"),
    ],
)
def test_what_an_adapter_cannot_be_is_said(setting: str, said: str, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        run_train(recipe, [setting], tmp_path / "out", resume=False, budget=None, price=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_does_not_start_from_an_adapter_and_one_beside_rounded_weights_does(
    recipe: Path, tuned: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="holds an adapter"):
        run_train(recipe, [f"model.from={tuned}"], tmp_path / "no", resume=False, budget=None, price=None)
    settings = ["lora.base=int4", "stage.0.epochs=1", 'lora.targets=["attention"]']
    assert run_train(recipe, settings, tmp_path / "q", resume=False, budget=None, price=None).code == 0
    assert weights_digest(centime.load(tmp_path / "q")) != weights_digest(centime.load(recipe.parent / "base"))
