"""What a model's program may do, and what it may not: every attack is tried for real."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from centime.errors import UserError
from centime.tune.sandbox import SandboxLimits, run_program
from centime.tune.sandbox import run as module

SHORT = SandboxLimits(seconds=1, memory=2**28)


def test_a_program_that_holds_its_tests_passes() -> None:
    found = run_program("def add(a, b):\n    return a + b\nassert add(2, 3) == 5\nprint('héllo')")
    assert (found.passed, found.why, found.output) == (True, "passed", "héllo\n")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("assert 1 == 2", "failed"),
        ("this is no Python", "failed"),
        ("raise SystemExit(0)\nassert False", "failed"),
        ("import os; os._exit(0)\nassert False", "failed"),
        ("while True: pass", "time"),
        ("x = bytearray(10 * 2**30)", "memory"),
        ("while True: print('x' * 1000)", "output"),
        ("", "passed"),
    ],
)
def test_how_a_program_ends(source: str, why: str) -> None:
    assert run_program(source, SHORT).why == why


def test_sleeping_for_ever_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    assert run_program("import time; time.sleep(1000)", SandboxLimits(seconds=0)).why == "time"
    assert time.monotonic() - began < 30


def test_a_fork_bomb_never_begins() -> None:
    before = {p.pid for p in psutil.process_iter()}
    source = "import os\nfor _ in range(9):\n    try:\n        os.fork(); print('FORKED')\n    except OSError: pass"
    found = run_program(source, SHORT)
    assert found.passed
    assert "FORKED" not in found.output
    new = [p for p in psutil.process_iter(["cmdline", "ppid"]) if p.pid not in before]
    ours = [p for p in new if p.info["ppid"] in (1, os.getpid())]  # not those of a test that runs beside
    assert not [p for p in ours if "child.py" in " ".join(p.info["cmdline"] or [])]


@pytest.mark.parametrize(
    "attempt",
    [
        "open({path!r}, 'w').write('x')",
        "open('here', 'w')",
        "import os; os.mkdir({path!r})",
        "import os; os.unlink({kept!r})",
        "import os; os.rename({kept!r}, {path!r})",
        "import os; os.symlink({kept!r}, {path!r})",
        "import os; os.chmod({kept!r}, 0)",
        "import os; os.truncate({kept!r}, 0)",
        "import os; os.kill(os.getppid(), 9)",
        "import subprocess; subprocess.run(['touch', {path!r}], check=True)",
        "import os; os.execv('/bin/sh', ['sh', '-c', 'touch ' + {path!r}])",
        "import socket; socket.create_connection(('127.0.0.1', {port}))",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.open({path!r}.encode(), 65, 0o600) < 0: raise OSError(ctypes.get_errno())",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import resource, os; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))\nx = bytearray(10 * 2**30)",
    ],
)
def test_nothing_gets_out(attempt: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("safe")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        port = server.getsockname()[1]
        found = run_program(attempt.format(path=str(tmp_path / "made"), kept=str(kept), port=port), SHORT)
        with pytest.raises(TimeoutError):
            server.accept()
    assert not found.passed, found.output
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text() == "safe"
    assert kept.stat().st_mode & 0o400


def test_threads_are_allowed_and_not_waited_for() -> None:
    source = "import threading, time\nt = threading.Thread(target=time.sleep, args=(100,))\nt.start()\nprint('done')"
    began = time.monotonic()
    assert run_program(source).output == "done\n"
    assert time.monotonic() - began < 20


def test_a_kernel_that_does_not_hold_it_runs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "child.py"
    text = module.CHILD.read_text().replace("platform.machine()", "'riscv64'")
    other.write_text(text)
    monkeypatch.setattr(module, "CHILD", other)
    with pytest.raises(UserError, match="cannot be held here"):
        run_program("print('ran')")
