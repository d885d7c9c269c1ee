"""`kill -9` at any instant: the resumed run has the same loss bits, the same model, and every token once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.forked import centime, centime_process
from tests.train.killed import finish_in_spite_of
from tests.train.made import losses, metrics, write_recipe

from centime.train.run import yardstick
from centime.train.run.command import train

# Checkpoints every other step, so that most kills fall into the writing of one or just after it.
SETTINGS = ("--set", "run.checkpoint_every=2", "--set", "train.tokens=8192", "--price", "$1/h")


@pytest.fixture(scope="module")
def recipe(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), corpus)


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nobody disturbs, and the seconds it takes."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    start = time.monotonic()
    done = centime("train", recipe, "--out", folder, *SETTINGS)
    assert done.returncode == 0, done.stderr
    return folder, time.monotonic() - start


def kill_and_resume(recipe: Path, folder: Path, delays: list[float]) -> int:
    """Starts or resumes the run, kills it after each delay, then lets it end; how many kills hit a living process."""
    hits = 0
    for delay in delays:
        process = centime_process(
            "train",
            recipe,
            "--out",
            folder,
            *SETTINGS,
            "--resume",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            hits += 1
            process.wait()
    done = centime("train", recipe, "--out", folder, *SETTINGS, "--resume")
    assert done.returncode == 0, done.stderr
    return hits


def same(folder: Path, whole: Path) -> None:
    assert losses(folder) == losses(whole)
    counted = [line["global_step"] for line in metrics(folder) if "loss" in line]
    assert counted == list(range(1, len(counted) + 1))
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (whole / weights).read_bytes()
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.slow
def test_killed_three_times_while_it_trains(recipe: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    """Each kill comes a random moment after a step, so that it falls into training however busy the machine is."""
    folder, steps = tmp_path / "run", len(losses(whole[0]))
    kills = [int(share * steps) for share in (0.2, 0.4, 0.7)]
    assert finish_in_spite_of(recipe, folder, kills, 0, *SETTINGS) == 3, "the run ended before it could be killed"
    same(folder, whole[0])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_killed_five_times_at_random(seed: int, recipe: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    """Twenty runs, a hundred kills, start-up included."""
    generator = random.Random(seed)
    kill_and_resume(recipe, tmp_path / "run", [whole[1] * generator.uniform(0.02, 1.0) for _ in range(5)])
    same(tmp_path / "run", whole[0])


@pytest.mark.slow
def test_sigterm_saves_and_leaves_with_the_bill(recipe: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = centime_process(
        "train",
        recipe,
        "--out",
        folder,
        *SETTINGS,
        "--set",
        "run.checkpoint_every=1000",
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").read_text().count("\n") >= 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Pre-training" in said
    assert "Stopped by SIGTERM and saved" in said
    assert (folder / "checkpoints" / f"step-{metrics(folder)[-1]['global_step']:08d}").is_dir()
    done = centime("train", folder, "--resume", *SETTINGS[-2:])
    assert done.returncode == 0, done.stderr
    assert losses(folder) == losses(whole[0])


def test_ctrl_c_before_anything_is_begun_leaves_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*_: object) -> float:  # while the machine's peak is measured, seconds after the start
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        raise AssertionError

    monkeypatch.setattr(yardstick, "kept_peak", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, [], tmp_path / "run", resume=False, budget=None, price="$1/h")
    assert "nothing was begun" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
