"""Standard output that is full or closed, a reader that leaves, bytes that are no text: a sentence or silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.process import ROOT

SHOW = "model show deepseek-v3"


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which `centime` is this one."""
    return subprocess.run(
        ["bash", "-c", f'centime() {{ {sys.executable} -m centime "$@"; }}\n{command}'],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (f"centime {SHOW} >/dev/full", 2, b"standard output cannot be used: no space left"),
        (f"centime {SHOW} --json >/dev/full", 2, b"standard output cannot be used: no space left"),
        (f"centime {SHOW} >&-", 2, b"standard output cannot be used: it is closed"),
        (f"centime {SHOW} 2>&-", 0, b""),
        (f"centime {SHOW} 2>/dev/full", 0, b""),
        ("centime model show $'\\xff'", 2, rb"the argument '\xff' is not UTF-8"),
        ("centime --version >/dev/full", 2, b"standard output cannot be used"),
        (f"PYTHONIOENCODING=ascii centime {SHOW}", 0, b""),
    ],
)
def test_every_end_is_a_sentence(command: str, code: int, said: bytes) -> None:
    done = shell(command)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count(b"\n") == (1 if said else 0)


@pytest.mark.slow
@pytest.mark.parametrize("command", [f"{SHOW}", f"{SHOW} --json"])
def test_a_reader_that_leaves_is_no_error(command: str) -> None:
    done = shell(f"centime {command} | :; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(("stream", "arrives"), [("stderr", b"line\n"), ("stdout", b"")])
def test_notes_arrive_line_by_line_and_answers_whole(stream: str, arrives: bytes) -> None:
    """A process that is killed has said its lines, and prints no half of an answer into a pipe."""
    program = f"import os, sys; settle(); print('line', file=sys.{stream}); sys.{stream}.write('half'); os._exit(0)"
    done = subprocess.run(
        [sys.executable, "-c", f"from centime.cli.program.streams import settle; {program}"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert getattr(done, stream) == arrives


@pytest.mark.slow
def test_a_prompt_that_is_not_utf8_is_a_sentence(tmp_path: Path) -> None:
    done = shell(f"printf '\\xff' | centime generate {tmp_path}")
    assert done.returncode == 2
    assert b"standard input is not UTF-8 text (byte 0xff at offset 0)" in done.stderr
