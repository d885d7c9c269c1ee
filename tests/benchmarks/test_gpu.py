"""The script for GPUs runs from end to end on a processor, with Triton's interpreter in place of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.long
def test_it_checks_every_operation_and_writes_a_file(root: Path, tmp_path: Path) -> None:
    script = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--steps", "1", "--out", str(tmp_path)]
    done = subprocess.run(script, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("gpu-cpu-*.json")
    report = json.loads(written.read_text())
    assert report == json.loads(done.stdout)
    assert max(report["distances"].values()) < 1e-5
    assert len(report["distances"]) == 8
    assert report["training"]["tokens_per_s"] > 0
    assert report["decoding"]["tokens_per_s_at_2"] > 0


def test_without_a_gpu_it_says_so(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu.py", "--device", "cuda"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "No CUDA device is visible to torch" in done.stderr
