"""Checkpoints: whole or absent, rotated, and the last good one survives a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tests.fsyncs import Order

from centime.errors import UserError
from centime.files import leftovers
from centime.train.folder import checkpoints as state
from centime.train.folder.checkpoints import Checkpoints, read, write_tensors


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"weight/a": torch.randn(7, 5, generator=generator), "buffer/b": torch.randn(3, generator=generator)}


def kept(folder: Path, keep: int = 2) -> tuple[Checkpoints, list[str]]:
    said: list[str] = []
    return Checkpoints(folder, keep, said.append), said


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=5),
    dtype=st.sampled_from(["float32", "bfloat16", "int64"]),
)
def test_files_are_safetensors(shapes: list[list[int]], dtype: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tensors") / "x.safetensors"
    made = {f"t{i}": torch.randn(shape).mul(100).to(getattr(torch, dtype)) for i, shape in enumerate(shapes)}
    write_tensors(path, made)
    found = load_file(path)
    assert found.keys() == made.keys()
    assert all(torch.equal(found[name], made[name]) and found[name].dtype == made[name].dtype for name in made)


def test_the_newest_is_read_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints, said = kept(tmp_path)
    for step in (3, 10, 7_000_000):
        assert checkpoints.save(step, tensors(step), {"step": step})
    assert checkpoints.wait()
    assert checkpoints.steps() == [10, 7_000_000]
    newest = Checkpoints.newest(tmp_path)
    assert newest is not None
    found, meta = read(newest)
    assert meta == {"step": 7_000_000}
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors(7_000_000).items())
    assert not said
    assert Checkpoints.newest(tmp_path / "none") is None


def test_a_save_is_of_the_moment_it_was_asked(tmp_path: Path) -> None:
    """The writer works on a copy: steps that follow do not leak into it."""
    checkpoints, _ = kept(tmp_path)
    live = {"weight/a": torch.zeros(1 << 20)}
    checkpoints.save(1, live, {})
    live["weight/a"].fill_(1.0)
    checkpoints.wait()
    assert not read(checkpoints.path(1))[0]["weight/a"].any()


def test_leftovers_of_a_kill_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / ".partial-00000009-1").mkdir()
    (tmp_path / ".partial-00000009-1" / "tensors.safetensors").write_bytes(b"half")
    checkpoints, _ = kept(tmp_path)
    assert checkpoints.steps() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", ["before its name", "while it is deleted"])
def test_what_a_killed_writer_left_is_gone_after_the_next(tmp_path: Path, at: str) -> None:
    """Of two checkpoints, the first whole: killed as the second is renamed, or in the middle of the first's removal."""
    checkpoints, _ = kept(tmp_path, keep=1)
    assert checkpoints.save(1, tensors(), {}, wait=True)
    pid = os.fork()
    if pid == 0:
        module, name = (Path, "rename") if at == "before its name" else (leftovers, "remove")
        setattr(module, name, lambda *_: os.kill(os.getpid(), 9))
        kept(tmp_path, keep=1)[0].save(2, tensors(), {}, wait=True)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 9
    assert len([*tmp_path.glob(".*")]) == 1
    again, _ = kept(tmp_path, keep=1)
    assert again.steps() == ([1] if at == "before its name" else [2])
    assert not [*tmp_path.glob(".*")]
    newest = Checkpoints.newest(tmp_path)
    assert newest is not None
    read(newest)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoints, _ = kept(tmp_path)
    checkpoints.save(1, tensors(), {}, wait=True)
    file = checkpoints.path(1) / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match="step-00000001 cannot be read"):
        read(checkpoints.path(1))


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't allocate memory"), KeyboardInterrupt(), SystemExit(), KeyError()]
)
@pytest.mark.parametrize("where", ["write_tensors", "sync_all"])
def test_a_writer_that_dies_of_anything_has_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str
) -> None:
    def dies(*_: object) -> None:
        raise error

    checkpoints, said = kept(tmp_path)
    assert checkpoints.save(1, tensors(), {}, wait=True)
    with monkeypatch.context() as patch:
        patch.setattr(state, where, dies)
        assert not checkpoints.save(2, tensors(), {}, wait=True)
        assert checkpoints.save(3, tensors(), {})  # beside the training: who waits for it is told
        assert not checkpoints.wait()
    assert [line[:34] for line in said] == [f"The checkpoint of step {step} was not saved"[:34] for step in (2, 3)]
    assert all(f"the last good one is {tmp_path / 'step-00000001'}" in line for line in said)
    assert checkpoints.steps() == [1]
    assert not [*tmp_path.glob(".*")]
    assert checkpoints.save(4, tensors(), {}, wait=True)


def test_no_memory_for_the_copy_is_a_failed_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints, said = kept(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", lambda *_, **__: torch.empty(2**60))
        assert not checkpoints.save(1, tensors(), {}, wait=True)
    with monkeypatch.context() as patch:
        patch.setattr(
            threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        )
        assert not checkpoints.save(1, tensors(), {}, wait=True)
    assert ["was not saved" in line for line in said] == [True, True]
    assert checkpoints.save(1, tensors(), {}, wait=True)


def test_old_ones_that_stay_are_no_failed_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints, said = kept(tmp_path, keep=1)
    assert checkpoints.save(1, tensors(), {}, wait=True)

    def stays(*_: object) -> None:
        raise PermissionError(1, "not yours")

    monkeypatch.setattr(Checkpoints, "_rotate", stays)
    assert checkpoints.save(2, tensors(), {}, wait=True)
    assert checkpoints.steps() == [1, 2]
    assert "could not be removed" in said[0]


def test_what_others_put_beside_checkpoints_is_none(tmp_path: Path) -> None:
    for name in ("step-00000009.bak", "step-copy", "step-"):
        (tmp_path / name).mkdir()
    checkpoints, said = kept(tmp_path, keep=1)
    for step in (1, 2):
        assert checkpoints.save(step, tensors(), {}, wait=True)
    assert checkpoints.steps() == [2]
    assert Checkpoints.newest(tmp_path) == checkpoints.path(2)
    assert not said


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are found in /proc")
def test_all_of_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, _ = kept(tmp_path)
    order = Order(monkeypatch)
    assert checkpoints.save(1, tensors(), {"step": 1}, wait=True)
    order.require_durable(checkpoints.path(1))


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from centime.train.folder.checkpoints import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
checkpoints = Checkpoints(Path(sys.argv[1]), 2, print)
assert checkpoints.save(1, {"weight/a": torch.zeros(100)}, {}, wait=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
assert not checkpoints.save(2, {"weight/a": torch.zeros(100_000)}, {}, wait=True)
assert checkpoints.steps() == [1]
checkpoints.save(3, {"weight/a": torch.zeros(100_000)}, {})
assert not checkpoints.save(4, {"weight/a": torch.zeros(100)}, {})
assert checkpoints.wait()
assert checkpoints.steps() == [1, 4]
"""


def test_a_full_disk_keeps_the_last_good_one_and_says_so(tmp_path: Path) -> None:
    """The kernel itself refuses to write (a limit on file sizes), in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "step 2 was not saved (the disk is full; it takes 390.62 KiB)" in done.stdout
    assert f"the last good one is {tmp_path / 'step-00000001'}" in done.stdout
    assert not list(tmp_path.glob(".*"))
