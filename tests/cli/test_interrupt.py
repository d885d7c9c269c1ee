"""Ctrl-C ends any verb soon, with exit code 130 and no traceback, whether it imports, reads, writes or serves.

A terminal sends it to a verb and all its children at once, `kill` to the verb alone: either way nothing goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.cells import Bench
from tests.cli.process import ROOT
from tests.small import WORDS

LARGE = "large.txt"  # made for the test: what takes more than seconds to read
VERBS = {
    "plan lifetime": ["plan", "lifetime", "--quality-of=deepseek-v3", "--served-tokens=100T"],
    "plan budget": ["plan", "budget", "--capex=80B$"],
    "model list": ["model", "list"],
    "calibrate": ["calibrate", "--out=profile.json"],
    "generate": ["generate", "--prompt=a", "--max-tokens=100000", "model"],
    "chat": ["chat", "model"],
    "serve": ["serve", "--port=0", "model"],
    "evaluate": ["evaluate", "model", "text.txt"],
    "export": ["export", "--gguf=new.gguf", "model"],
    "data prepare": ["data", "prepare", LARGE, "--tokenizer=tok", "--out=new", "--workers=2"],
    "tokenizer train": ["tokenizer", "train", "--out=new", LARGE],
    "train": ["train", "recipe.toml", "--out=new-run", "--set", "train.tokens=100M"],
    "quickstart": ["quickstart", "--text=texts", "--out=new-run"],
    "bill": ["bill"],
}
LONGEST_S = 20.0  # on a machine that others use; alone it is below two, as the log of this test shows
WHOM: dict[str, Callable[[int, int], None]] = {"the verb": os.kill, "its group": os.killpg}


@pytest.mark.long
@pytest.mark.parametrize("whom", WHOM)
@pytest.mark.parametrize("delay", [0.3, 0.8, 1.5, 3.0, 6.0])
@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c(bench: Bench, verb: str, delay: float, whom: str) -> None:
    if LARGE in VERBS[verb]:
        (bench.sandbox / LARGE).write_text(WORDS * 400_000)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from centime.cli import main; print('up', flush=True); main()",
            *VERBS[verb],
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=bench.sandbox,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "CENTIME_HOME": str(bench.sandbox / "home")},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(delay)
    asked = time.monotonic()
    WHOM[whom](process.pid, signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=LONGEST_S)  # its pipes too: a child that goes on holds them
        took = time.monotonic() - asked
        left = [path.name for path in Path(bench.sandbox).iterdir() if path.name.startswith(".new")]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        bench.restore()
    print(f"{verb} after {delay} s: ended in {took:.2f} s with {process.returncode}")
    assert "Traceback" not in errors
    assert process.returncode in (0, 130)  # it may have been done already
    assert left == []
