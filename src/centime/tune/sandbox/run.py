"""A program of a model's in a process of its own, held by the kernel and killed with all that it began."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError

CHILD = Path(__file__).with_name("child.py")
NOT_CONFINED = 3  # the child's exit code where the kernel does not hold it


@dataclass(frozen=True)
class SandboxLimits:
    """What one program may take: processor and wall-clock seconds, bytes of address space, bytes of output."""

    seconds: int = 5
    memory: int = 2**30
    output: int = 2**18


@dataclass(frozen=True)
class SandboxResult:
    """How a program ended. passed: it came to its end, without an error and without leaving early."""

    passed: bool
    why: str  # 'passed', 'failed', 'time', 'memory', 'output'
    output: str  # its last lines


def run_program(source: str, limits: SandboxLimits | None = None) -> SandboxResult:
    """Runs Python source to its end, or to a limit.

    A program that leaves by sys.exit or os._exit has not come to its end: tests that stand after it did not run.
    Raises UserError where the kernel cannot hold it (no Linux, or one without seccomp): nothing has run then.
    """
    limits = limits or SandboxLimits()
    if not sys.platform.startswith("linux"):
        raise UserError("Programs of a model are run on Linux alone, whose kernel can hold them; use another reward.")
    secret = secrets.token_hex(16)
    head = json.dumps({"seconds": limits.seconds, "memory": limits.memory, "output": limits.output, "secret": secret})
    with tempfile.TemporaryDirectory(prefix="centime-sandbox-") as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
            close_fds=True,
        )
        late = False
        try:
            process.communicate(f"{head}\n{source}".encode("utf-8", "replace"), timeout=2 * limits.seconds + 5)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read(limits.output + 1024).decode("utf-8", "replace")
    if process.returncode == NOT_CONFINED and text.startswith("not confined"):
        raise UserError(f"Programs of a model cannot be held here ({text}); use another reward, or another machine.")
    passed = process.returncode == 0 and text.endswith(f"\n{secret}")
    why = "passed" if passed else _why(process.returncode, text, late, limits.output)
    return SandboxResult(passed, why, text.removesuffix(f"\n{secret}")[-2000:])


def _why(code: int, text: str, late: bool, output: int) -> str:
    if late or code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "time"
    if code == -signal.SIGXFSZ or len(text.encode("utf-8", "replace")) >= output:
        return "output"
    return "memory" if "MemoryError" in text[-500:] else "failed"
