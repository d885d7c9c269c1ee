"""The Makefile's stamps: what was set up once is not set up again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAMPS = re.findall(r"^(\S*\.installed\S*):", (ROOT / "Makefile").read_text(), re.MULTILINE)

# Stands for every Python that the recipes call, and for npm: it makes the environment's folder, and installs nothing.
PYTHON = """#!/bin/sh
echo "$@" >> calls
case "$*" in
  *--venv*) folder=$(echo "$*" | sed 's/.*--venv \\([^ ]*\\).*/\\1/') ;;
  "-m venv "*) folder=$3 ;;
  *) exit 0 ;;
esac
mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "scripts/install.py"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    stand_ins = [f"{name}={checkout / 'python'}" for name in ("PYTHON", "PYTHON312", "NPM")]
    command = ["make", "JOBS=1", *stand_ins, *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_the_makefile_has_stamps() -> None:
    assert "$(VENV)/.installed-serve" in STAMPS


@pytest.mark.parametrize("stamp", STAMPS)
def test_what_is_set_up_is_not_set_up_again(checkout: Path, stamp: str) -> None:
    target = stamp.replace("$(VENV)", ".venv").replace("%", "9.9")
    first = make(checkout, target)
    assert first.returncode == 0, first.stderr
    calls = (checkout / "calls").read_text()
    assert calls
    assert make(checkout, target).returncode == 0
    assert (checkout / "calls").read_text() == calls
    assert make(checkout, "--question", target).returncode == 0
    later = (checkout / target).stat().st_mtime_ns + 10**9
    os.utime(checkout / "constraints.txt", ns=(later, later))
    follows = not re.search("focus|clients", target)  # which pin their packages themselves
    assert (make(checkout, "--question", target).returncode == 1) is follows
