"""Ctrl-C ends any verb soon, with exit code 130 and no traceback, whether it imports, searches, reads or writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.cells import Bench
from tests.cli.process import ROOT

VERBS = {
    "plan lifetime": ["plan", "lifetime", "--quality-of=deepseek-v3", "--served-tokens=100T"],
    "plan budget": ["plan", "budget", "--capex=80B$"],
    "model list": ["model", "list"],
    "calibrate": ["calibrate", "--out=profile.json"],
    "generate": ["generate", "--prompt=a", "--max-tokens=100000", "model"],
    "evaluate": ["evaluate", "model", "text.txt"],
    "export": ["export", "--gguf=new.gguf", "model"],
    "tokenizer train": ["tokenizer", "train", "--out=new", "text.txt"],
    "bill": ["bill"],
}
SECONDS = 20.0  # on a machine that others use; alone it is below two


@pytest.mark.long
@pytest.mark.parametrize("delay", [0.3, 0.8, 1.5, 3.0])
@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c(bench: Bench, verb: str, delay: float) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "CENTIME_HOME": str(bench.sandbox / "home")}
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from centime.cli import main; print('up', flush=True); main()",
            *VERBS[verb],
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=bench.sandbox,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(delay)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=SECONDS)
    bench.restore()
    assert "Traceback" not in errors
    assert process.returncode in (0, 130)  # it may have been done already
    assert [path for path in Path(bench.sandbox).iterdir() if path.name.startswith(".new")] == []
