"""Checkpoints: whole or absent, rotated, and the last good one survives a full disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from centime.errors import UserError
from centime.train.state import Checkpoints, read, write_tensors


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


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoints, _ = kept(tmp_path)
    checkpoints.save(1, tensors(), {}, wait=True)
    file = checkpoints.path(1) / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match="step-00000001 cannot be read"):
        read(checkpoints.path(1))


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from centime.train.state import Checkpoints
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
    assert not list(tmp_path.glob(".partial*"))
