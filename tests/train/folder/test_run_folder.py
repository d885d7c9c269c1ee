"""A run's folder: one run at a time, and nothing in it that a run did not write is ever written over."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.forked import centime_process
from tests.train.made import RECIPE, write_recipe

from centime import recipe as recipes
from centime.errors import UserError
from centime.files.lock import INSIDE, InUse
from centime.quickstart.materials import free_folder
from centime.train.folder import run_folder
from centime.train.folder.checkpoints import META, TENSORS, Checkpoints
from centime.train.folder.run_folder import RunFolder, git_revision
from centime.train.run import train

SHORT = ("--price", "$1/h", "--set", "train.tokens=4096")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path, tmp_path / "corpus")


def stopped_once(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Halts the process at an instant at which `ready` is true."""
    while not ready():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None


@pytest.mark.slow
def test_the_second_run_in_a_folder_is_refused_and_a_kill_lets_it_in(corpus: Path, tmp_path: Path) -> None:
    one_stage = RECIPE[: RECIPE.index("[context]")] + RECIPE[RECIPE.index("[run]") :]
    recipe, folder = write_recipe(tmp_path, corpus, one_stage), tmp_path / "runs" / "one"
    first = centime_process("train", recipe, "--out", folder, *SHORT, stderr=subprocess.DEVNULL, start_new_session=True)
    said = rf"is in use by another process \(process id {first.pid}\) on "
    stopped_once(first, lambda: bool((folder / INSIDE).exists() and (folder / INSIDE).read_text()))
    assert {path.name for path in folder.iterdir()} == {INSIDE}, "it is held before anything is computed"
    with pytest.raises(InUse, match=said):
        train(recipe, ["seed=7"], folder, resume=False, budget=None, price="$1/h")
    first.send_signal(signal.SIGCONT)
    stopped_once(first, lambda: any((folder / "checkpoints").glob("step-*")))
    with pytest.raises(InUse, match=said):
        train(folder, [], None, resume=True, budget=None, price="$1/h")
    os.killpg(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    with RunFolder(folder).held():
        pass
    assert not (folder / INSIDE).exists()
    assert recipes.read(folder / "recipe.toml").seed == 0


@pytest.mark.parametrize(
    "name", ["recipe.toml", "run.json", "metrics.jsonl", "checkpoints", "model", "tensorboard", "samples.jsonl"]
)
def test_a_folder_with_somebodys_files_is_no_place_for_a_run(tmp_path: Path, recipe: Path, name: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text("{}")
    for resume in (False, True):
        with pytest.raises(UserError, match=f"holds {name}, which no run of centime wrote"):
            RunFolder(folder).check(recipes.read(recipe), resume)
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "{}")]


def test_other_files_beside_a_run_are_no_hindrance_nor_is_a_kill_as_it_began(tmp_path: Path, recipe: Path) -> None:
    run = RunFolder(tmp_path / "mine")
    run.path.mkdir()
    (run.path / "notes.txt").write_text("mine")
    run.write_info({"versions": {"centime": "0.1.0"}})  # and killed before recipe.toml
    run.check(recipes.read(recipe), resume=False)
    assert not run.begun


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    def fails() -> None:
        with RunFolder(tmp_path / "deep" / "run").held():
            raise UserError("no data")

    with pytest.raises(UserError, match="no data"):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_begin_on_a_full_disk_leaves_nothing(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "deep" / "run")

    def begins() -> None:
        with run.held():
            run.begin(recipes.read(recipe), {"versions": {"centime": "0.1.0"}})

    for call in range(1, 5):  # of the file, the folder, for run.json and for recipe.toml

        def full(handle: int, left: list[int] = [call]) -> None:  # noqa: B006 (counts)
            left[0] -= 1
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"No space left on device.*free some space"):
            begins()
        assert [path for path in tmp_path.rglob("*") if path != recipe] == []


def test_a_run_says_of_which_revision_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a source tree of git its commit, and whether that is all; elsewhere nothing."""
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "run_folder.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "run_folder.py").write_text("x = 1")
    assert git_revision() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    revision = git_revision()
    assert revision is not None
    assert re.fullmatch(r"[0-9a-f]{40,64}", revision)
    (tmp_path / "notes.txt").write_text("of nobody's concern")
    assert git_revision() == revision
    (tmp_path / "run_folder.py").write_text("x = 2")
    assert git_revision() == f"{revision}+changes"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="with --out"), RunFolder(folder).held():
            pass
    assert (tmp_path / "file").read_text() == "mine"


def test_quickstarts_at_once_take_folders_of_their_own(tmp_path: Path) -> None:
    wanted = tmp_path / "quickstart"
    with free_folder(wanted) as one, free_folder(wanted) as two:
        assert (one, two) == (wanted, tmp_path / "quickstart-2")
        (one / "file").write_text("its own")
    assert [path.name for path in tmp_path.iterdir()] == ["quickstart"]
    with free_folder(wanted) as third:
        assert third == two


def test_a_checkpoint_with_somebodys_file_in_it_stays(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1, print)
    assert checkpoints.save(1, {}, {}, wait=True)
    (checkpoints.path(1) / "notes.txt").write_text("the best one")
    for step in (2, 3):
        assert checkpoints.save(step, {}, {}, wait=True)
    assert checkpoints.steps() == [1, 3]
    assert sorted(path.name for path in checkpoints.path(1).iterdir()) == ["notes.txt", META, TENSORS]


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "checkpoints", "report.html"])
@pytest.mark.parametrize("what", ["folder or file", "pipe", "link to nothing"])
def test_a_run_is_not_resumed_into_what_is_no_file_of_its_own(
    tmp_path: Path, recipe: Path, name: str, what: str
) -> None:
    """Before a step, and without waiting for whoever might read the pipe."""
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipes.read(recipe), {})
    path = folder.path / name
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link to nothing":
        path.symlink_to(tmp_path / "absent")
    elif name == "checkpoints":
        path.touch()
    else:
        path.mkdir()
    with pytest.raises(UserError, match=f"{name} is no (file|folder), as `centime train` makes it; move it elsewhere"):
        folder.check(recipes.read(recipe), resume=True)
