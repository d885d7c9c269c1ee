"""Run folders whose small files are damaged: a sentence that names the file, and no step lost that need not be."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.train.made import losses, train

from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.model.checkpoint import load
from centime.ops.finite import first_not_finite, is_finite
from centime.train.engine import StepResult, Trainer
from centime.train.folder import as_model
from centime.train.folder.checkpoints import Checkpoints
from centime.train.folder.progress import RunProgress
from centime.train.folder.resume import info_of, newest_good
from centime.train.folder.run_folder import RunFolder
from centime.train.run import command
from centime.train.stages import Batch, StepSettings

STAGES = 3


@pytest.fixture(scope="module")
def stopped(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that a signal stopped at step 22, in the context stage, with checkpoints of 16, 18 and 22."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    real, seen = Trainer.step, [0]

    def step(self: Trainer, batch: Batch, settings: StepSettings) -> StepResult:
        seen[0] += bool(settings.lr)
        if seen[0] == 22 and settings.lr:
            signal.raise_signal(signal.SIGTERM)
        return real(self, batch, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTIME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(Trainer, "step", step)
        assert train(small, folder, "run.keep=3") == 128 + signal.SIGTERM
    return folder


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(stopped, tmp_path / "run")))


def newest(run: RunFolder) -> Path:
    found = Checkpoints.newest(run.checkpoints)
    assert found is not None
    return found


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe{}", b"[" * 5000, b"\0" * 40, b"3"])
def test_a_damaged_state_names_its_file_and_what_to_do(content: bytes, run: RunFolder) -> None:
    before, damaged = sorted(run.checkpoints.iterdir())[-2:]
    (damaged / "state.json").write_bytes(content)
    with pytest.raises(UserError) as refused:
        newest_good(run.checkpoints, print)
    assert f"{damaged}/state.json" in str(refused.value)
    assert f"Delete that folder and resume: the one before it, {before.name}, is used then." in str(refused.value)
    shutil.rmtree(damaged)
    found = newest_good(run.checkpoints, print)
    assert found is not None
    assert found.path == before


def test_a_state_of_another_step_is_found(run: RunFolder) -> None:
    earlier, latest = sorted(run.checkpoints.iterdir())[-2:]
    shutil.copy(earlier / "state.json", latest)
    with pytest.raises(UserError, match=r"is of step 18, not of the one .* Delete that folder and resume"):
        newest_good(run.checkpoints, print)


def test_checkpoints_are_folders_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in ("step-99999999", "step-100000000"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-200000000").write_text("notes of somebody")
    assert Checkpoints.newest(tmp_path) == tmp_path / "step-100000000"


@pytest.mark.parametrize(
    "values",
    [{"stage": "1"}, {"step": -1}, {"step": 1.5}, {"global_step": True}, {"tokens": None}, {"cost": []}, {"rows": 7}],
)
def test_a_state_of_other_types_is_refused_by_key(values: dict[str, Any], run: RunFolder) -> None:
    change(newest(run) / "state.json", **values)
    with pytest.raises(UserError, match=rf"state\.json is damaged: {next(iter(values))} is "):
        newest_good(run.checkpoints, print)


@pytest.mark.parametrize("values", [{"stage": 7}, {"stage": STAGES}, {"step": 10**9}])
def test_a_place_that_the_recipe_does_not_have_is_refused(values: dict[str, Any], run: RunFolder, small: Path) -> None:
    change(newest(run) / "state.json", **values)
    with pytest.raises(UserError, match=r"state\.json is damaged: it says stage .* Delete that folder"):
        train(run.path, None, resume=True)


@pytest.mark.parametrize("cut", ["empty", "cut", "garbage", "gone", "other"])
def test_damaged_tensors_are_named(cut: str, run: RunFolder) -> None:
    file = newest(run) / "tensors.safetensors"
    content = file.read_bytes()
    if cut == "gone":
        file.unlink()
    elif cut == "other":
        save_file({"weight/x": torch.zeros(3)}, file)
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "garbage": b"\x07" * 999}[cut])
    match = "does not fit the recipe" if cut == "other" else "cannot be read"
    with pytest.raises(UserError, match=f"step-00000022 {match}.*Delete that folder and resume"):
        train(run.path, None, resume=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"fitted": [1]}', '{"fitted": "x"}', '{"budget": 3}'])
def test_a_damaged_run_json_is_made_good_from_the_newest_checkpoint(content: str, run: RunFolder) -> None:
    run.info.write_text(content)
    said: list[str] = []
    assert info_of(run, STAGES, said.append) == {"fitted": [1, 1, 1]}
    assert str(run.info) in said[0]
    change(newest(run) / "state.json", fitted=None)
    with pytest.raises(UserError, match=r"run\.json .* If the run had no --budget, write \{\} into it"):
        info_of(run, STAGES, said.append)
    run.info.write_text("{}")
    assert info_of(run, STAGES, said.append) == {}


def test_small_files_that_are_damaged_cost_no_step(run: RunFolder, small: Path, tmp_path: Path) -> None:
    """run.json empty, a sample and a line of metrics that are no records: the run goes on to the very same losses."""
    run.info.write_text("")
    run.samples.write_bytes(b"x\n[]\n\xff\n{}\n" + run.samples.read_bytes()[:20])
    run.metrics.write_text(run.metrics.read_text() + '3\n{"global_step": "7"}\n{"glob')
    assert train(run.path, None, resume=True) == 0
    whole = tmp_path / "whole"
    assert train(small, whole) == 0
    assert losses(run.path) == losses(whole)
    assert [json.loads(line)["stage"] for line in run.samples.read_text().splitlines()] == ["context", "sft"]


def test_a_stopped_run_is_a_model(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its newest checkpoint answers, any of them is exported, and once it is finished its model is taken."""
    said: list[str] = []
    folder = as_model.usable(run.path, said.append)
    assert folder == run.path / "at-step-00000022"
    assert said == [f"{run.path} at step 22 of 28. The model is as it was then."]
    state = load_file(newest(run) / "tensors.safetensors")
    model = load(folder, dtype=torch.float32)
    kinds = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    computed = json.loads(run.info.read_text())["precision"]
    assert torch.equal(model.embed.weight, state["weight/embed.weight"].to(kinds[computed]).float())
    assert model.config.rope_scaling is not None
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert as_model.usable(newest(run), said.append) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert as_model.export(run.path, tmp_path / "hf", 16) == f"{tmp_path}/hf: {run.path} at step 16 of 28."
    assert load_tokenizer(tmp_path / "hf").vocab_size
    for precision, kind in kinds.items():
        change(run.info, precision=precision)
        as_model.export(run.path, tmp_path / precision, 16)
        assert load(tmp_path / precision).embed.weight.dtype == kind, "the type that the run computed in"
    change(run.info, precision=computed)
    with pytest.raises(UserError, match="no checkpoint of step 17; it has 16, 18, 22"):
        as_model.export(run.path, tmp_path / "hf2", 17)
    assert train(run.path, None, resume=True) == 0
    assert as_model.usable(run.path, said.append) == run.path
    assert as_model.export(run.path, tmp_path / "done", None).endswith(f"the model of {run.model}.")
    assert as_model.usable(tmp_path, said.append) == tmp_path


def test_a_sample_that_fails_loses_no_model(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no room for a sample")

    monkeypatch.setattr("centime.train.run.leavings.write_sample", fails)
    monkeypatch.setattr(command, "write_report", fails)
    assert train(run.path, None, resume=True) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "sft ends without a sample (no room for a sample)." in said
    assert "There is no report: no room for a sample" in said
    assert (run.model / "model.safetensors").exists()


def test_a_finished_run_says_so_at_once(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(run.path, None, resume=True) == 0
    capsys.readouterr()
    changed = run.metrics.stat().st_mtime_ns
    assert train(run.path, None, resume=True) == 0
    assert capsys.readouterr().err.startswith(f"{run.path} is finished: nothing is left to do. Its model is in")
    assert run.metrics.stat().st_mtime_ns == changed


def test_a_checkpoint_that_is_not_finite_is_passed_over(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before, damaged = sorted(run.checkpoints.iterdir())[-2:]
    tensors = load_file(damaged / "tensors.safetensors")
    tensors["weight/embed.weight"][0, 0] = float("inf")
    save_file(tensors, damaged / "tensors.safetensors")
    said: list[str] = []
    found = newest_good(run.checkpoints, said.append)
    assert found is not None
    assert found.path == before
    assert said == [
        f"{damaged} has numbers that are not finite (first in weight/embed.weight) and is deleted; "
        "the one before it is used."
    ]
    assert not damaged.exists()


def test_what_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    said: list[str] = []
    checkpoints = Checkpoints(tmp_path, 2, said.append)
    good = {"weight/a": torch.ones(3), "adamw/step": torch.tensor(1)}
    assert checkpoints.save(1, good, {}, wait=True)
    assert not checkpoints.save(2, good | {"exp_avg/a": torch.tensor([0.0, float("nan")])}, {}, wait=True)
    assert checkpoints.steps() == [1]
    assert "was not saved (a has numbers that are not finite;" in said[0]
    assert "the last good one is" in said[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_one_bad_number_is_found_wherever_it_is(bad: float, dtype: torch.dtype) -> None:
    tensor = torch.zeros(3, 5, dtype=dtype)
    assert is_finite(tensor)
    assert is_finite(torch.full((2,), torch.finfo(dtype).max, dtype=dtype))
    tensor[2, 4] = bad
    assert first_not_finite({"a": torch.zeros(0), "b": torch.tensor(3), "c": tensor}) == "c"


def test_a_rate_that_breaks_the_weights_leaves_no_damaged_checkpoint(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="steps in a row were not finite"):
        train(small, tmp_path / "run", "train.lr=1e6", "train.warmup_steps=0", "run.checkpoint_every=1", "run.keep=99")
    for path in (tmp_path / "run/checkpoints").iterdir():
        assert first_not_finite(load_file(path / "tensors.safetensors")) is None


def test_a_new_run_is_nowhere_and_has_cost_nothing() -> None:
    assert not any(dataclasses.asdict(RunProgress()).values())
