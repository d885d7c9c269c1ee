"""Runs that are stopped and go on: the same bits, no save called one that was none, signals at any phase."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.made import losses, metrics, train, write_recipe
from tests.train.run.stopping import stop_after

from centime.errors import UserError
from centime.train.engine import SingleDevice, StepResult, Trainer
from centime.train.folder import Checkpoints
from centime.train.folder import checkpoints as state
from centime.train.forecast import StepSeconds, timing
from centime.train.run import leavings, loop, setup
from centime.train.run import training_run as run
from centime.train.run.evaluation import HeldOut
from centime.train.stages import Batch, StepSettings


@pytest.mark.parametrize("steps", [1, 18, 20, 26])
def test_a_stopped_run_resumes_to_the_same_bits(
    steps: int, finished: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in every stage, at a stage's end and off the checkpoints' steps."""
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        assert train(small, tmp_path / "run") == 128 + signal.SIGTERM
    assert metrics(tmp_path / "run")[-1]["global_step"] == steps
    assert not (tmp_path / "run" / "model").exists()
    assert train(tmp_path / "run", None, resume=True) == 0  # type: ignore[arg-type]
    assert losses(tmp_path / "run") == losses(finished)
    names = ("model.safetensors", "config.json")
    assert all((tmp_path / "run/model" / n).read_bytes() == (finished / "model" / n).read_bytes() for n in names)


@pytest.mark.slow
def test_a_run_begun_in_an_older_order_goes_on_in_it(
    finished: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder from before the order was noted down: every row and every figure as if it had never stopped."""
    with monkeypatch.context() as patch:
        patch.setattr(setup, "ORDER", 1)
        assert train(small, tmp_path / "whole") == 0
        stop_after(patch, 7)
        assert train(small, tmp_path / "run") == 128 + signal.SIGTERM
    for file in (tmp_path / "run").glob("checkpoints/*/state.json"):
        meta = json.loads(file.read_text())
        assert meta.pop("order") == 1
        file.write_text(json.dumps(meta))
    assert train(small, tmp_path / "run", resume=True) == 0
    assert losses(tmp_path / "run") == losses(tmp_path / "whole") != losses(finished)


def test_a_last_save_that_failed_is_not_called_saved(
    finished: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The writer dies of no memory while SIGTERM waits for it; what the run says and what a resume finds agree."""
    real = state.write_tensors

    def no_memory(path: Path, tensors: dict[str, torch.Tensor]) -> None:
        if "00000006" in str(path):
            raise MemoryError
        real(path, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(state, "write_tensors", no_memory)
        stop_after(patch, 6)
        assert train(small, tmp_path / "run") == 128 + signal.SIGTERM
    said = " ".join("".join(capsys.readouterr()).split())
    assert "The checkpoint of step 6 was not saved (there is no memory for it;" in said
    assert "Stopped by SIGTERM without saving its last steps" in said
    assert Checkpoints.newest(tmp_path / "run/checkpoints") == tmp_path / "run/checkpoints/step-00000004"
    assert train(tmp_path / "run", None, resume=True) == 0  # type: ignore[arg-type]
    assert losses(tmp_path / "run") == losses(finished)


def test_resuming_a_finished_run_changes_nothing(finished: Path, small: Path) -> None:
    kept = {name: (finished / name).read_bytes() for name in ("metrics.jsonl", "samples.jsonl", "recipe.toml")}
    weights = (finished / "model/model.safetensors").read_bytes()
    assert train(small, finished, resume=True) == 0
    assert {name: (finished / name).read_bytes() for name in kept} == kept
    assert (finished / "model/model.safetensors").read_bytes() == weights


def test_a_folder_in_use_and_a_changed_recipe_are_refused(finished: Path, small: Path) -> None:
    with pytest.raises(UserError, match="already holds a run; continue it with --resume"):
        train(small, finished)
    with pytest.raises(UserError, match=r"another recipe: train\.batch_size differ"):
        train(small, finished, "train.batch_size=5", resume=True)
    with pytest.raises(UserError, match=r"add --resume"):
        train(finished, finished)


def test_run_settings_may_change_on_a_resume(small: Path, finished: Path, tmp_path: Path) -> None:
    """Micro-batches and checkpoints are how, not what: the same run up to rounding."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 9)
        train(small, tmp_path / "run", "run.precision=fp32")
    assert train(small, tmp_path / "run", "run.precision=fp32", "run.micro_batch=3", resume=True) == 0
    for (stage, step, a), (other, at, b) in zip(losses(tmp_path / "run"), losses(finished), strict=True):
        assert (stage, step) == (other, at)
        assert a == pytest.approx(b, rel=0.03)


@pytest.mark.parametrize("changed", ["tokens", "tokenizer"])
def test_changed_data_is_refused_on_a_resume(
    changed: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    recipe = write_recipe(tmp_path, copy)
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        train(recipe, tmp_path / "run")
    if changed == "tokens":
        shutil.rmtree(copy / "train")
        shutil.copytree(copy / "holdout", copy / "train")
    else:
        described = json.loads((copy / "tokenizer/tokenizer.json").read_text())
        described["model"]["merges"] = described["model"]["merges"][:-1]
        (copy / "tokenizer/tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="has changed since" if changed == "tokens" else "tokenizer"):
        train(recipe, tmp_path / "run", resume=True)


def test_a_second_signal_leaves_at_once(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trainer.step

    def step(self: Trainer, batch: Batch, settings: StepSettings) -> StepResult:
        if settings.lr:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(self, batch, settings)

    monkeypatch.setattr(Trainer, "step", step)
    assert train(small, tmp_path / "run") == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("timing", signal.SIGINT),
        ("evaluation", signal.SIGTERM),
        ("sample", signal.SIGINT),
        ("step", signal.SIGTERM),
    ],
)
def test_a_signal_cuts_short_what_can_be_done_anew(
    phase: str, number: int, small: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One signal in the middle of it: the rest of it is not run, what was trained is saved, and a resume ends alike."""
    where = {
        "timing": (timing, "cost_of"),
        "evaluation": (HeldOut, "evaluate"),
        "sample": (leavings, "write_sample"),
        "step": (SingleDevice, "gradient_norm"),
    }[phase]
    real = getattr(*where)
    seen: list[bool] = []

    def stopped(*given: Any, **named: Any) -> Any:
        if phase != "step" or len(seen) == 7:
            signal.raise_signal(number)
            raise AssertionError("it went on")
        seen.append(True)
        return real(*given, **named)

    monkeypatch.setattr(loop, "LONG_STEP_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(*where, stopped)
        if phase == "step":
            patch.setattr(run, "measure", lambda *_: [StepSeconds(0.0, 1.0, 0.05)] * 3)
        assert train(small, tmp_path / "run") == 128 + number
    folder = tmp_path / "run"
    if phase == "timing":
        assert not folder.exists()
        return
    done = {"evaluation": 5, "sample": 18, "step": 7}[phase]
    newest = Checkpoints.newest(folder / "checkpoints")
    assert newest is not None
    assert newest.name == f"step-{done:08d}"
    assert train(folder, None, resume=True) == 0  # type: ignore[arg-type]
    assert losses(folder) == losses(finished)


def test_training_from_another_thread_cannot_take_signals_and_does_not_try(small: Path, tmp_path: Path) -> None:
    ended: list[int] = []
    thread = threading.Thread(
        target=lambda: ended.append(train(small, tmp_path / "run", "train.tokens=512", "context.tokens=256"))
    )
    thread.start()
    thread.join()
    assert ended == [0]
