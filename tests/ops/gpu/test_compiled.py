"""Every kernel compiles to a Hopper GPU's machine code, and products use tensor cores; no GPU is needed for that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.long
def test_every_kernel_compiles_for_hopper(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    compiled = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("compile_for_hopper.py"))],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr
    products = {line.split()[0] for line in compiled.stdout.splitlines() if line.endswith("wgmma")}
    assert products == {"_fp8_linear", "_grouped_linear", "_grouped_fp8_linear", "_grouped_outer"}
