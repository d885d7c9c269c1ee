"""`centime doctor` says what is broken, whatever is broken, and creates nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from centime.doctor.home import home
from centime.doctor.libraries import imported


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(folder), *sys.path))
    return subprocess.run(
        [sys.executable, "-m", "centime", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_library_that_ends_the_process_is_named_and_the_others_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashes.py").write_text("import os; os.abort()")
    (tmp_path / "raises.py").write_text("import nothing_of_that_name")
    chatter = r"import sys; print('[1, 2', 3, '[1, 2, 3]', sep='\n', flush=True); sys.stdout.buffer.write(b'caf\xe9\n')"
    (tmp_path / "chatters.py").write_text(chatter)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = imported(["json", "crashes", "chatters", "raises", "string"])
    assert (said["json"], said["chatters"], said["string"]) == ("", "", "")
    assert "ended with -6" in said["crashes"]
    assert "nothing_of_that_name" in said["raises"]


def test_what_is_in_the_home_is_looked_at(centime_home: Path) -> None:
    assert {finding.state for finding in home()} <= {"ok", "absent"}
    assert list(centime_home.iterdir()) == []
    (centime_home / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    (centime_home / "machine.json").write_text("{")
    (centime_home / "prices.toml").write_text("= 3")
    states = {finding.check: finding.state for finding in home()}
    assert states == {"CENTIME_HOME": "ok", "ledger": "broken", "your prices": "broken", "profile": "broken"}


@pytest.mark.slow
def test_here_everything_needed_works(tmp_path: Path, centime_home: Path) -> None:
    done = doctor(tmp_path, "--json")
    tree = json.loads(done.stdout)
    broken = [check for check in tree["checks"] if check["state"] == "broken"]
    assert (done.returncode, tree["ok"], broken) == (0, True, [])
    assert {"centime", "torch", "processor", "threads", "price", "disk", "ledger"} <= {
        c["check"] for c in tree["checks"]
    }
    assert list(centime_home.iterdir()) == []


@pytest.mark.slow
def test_a_broken_torch_is_said_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')")
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert "libtorch_cpu.so" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
