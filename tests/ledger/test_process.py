"""A process's identity and age, as the kernel and as psutil see them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from centime.ledger import process
from centime.ledger.process import SILENT_NS, alive, process_start_ns, this_process


def test_this_process_lives_and_nobody_else_has_its_identity() -> None:
    me = this_process()
    assert me == this_process()
    assert alive(me, 10**15)
    assert not alive(replace(me, started=me.started + 1), 0)
    assert not alive(replace(me, boot="before"), 0)
    assert not alive(replace(me, pid=2**22 + 1), 0)


def test_its_age_is_the_kernels() -> None:
    age = (time.monotonic_ns() - process_start_ns()) / 1e9
    # psutil counts from /proc/stat's btime, which the kernel rounds to whole seconds
    assert age == pytest.approx(time.time() - psutil.Process().create_time(), abs=1.1)
    program = "import time; from centime.ledger.process import process_start_ns as s; print(time.monotonic_ns() - s())"
    began = time.monotonic_ns()
    booked = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert 0 < booked <= time.monotonic_ns() - began


def test_a_name_with_brackets_and_spaces_is_no_trap(tmp_path: os.PathLike[str]) -> None:
    link = os.path.join(tmp_path, "a) R (b c")
    os.symlink(os.path.realpath(sys.executable), link)
    with subprocess.Popen([link, "-S", "-c", "import time; time.sleep(30)"]) as child:
        started = process._started(child.pid)
        assert started is not None
        assert started >= this_process().started
        child.kill()
    assert process._started(child.pid) is None


def test_without_proc_psutil_says_the_same() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(30)"]) as child:
        started = process._started_elsewhere(child.pid)
        assert started is not None
        assert started / 100 == pytest.approx(time.time(), abs=5)
        child.kill()
    assert process._started_elsewhere(child.pid) is None


def test_a_process_that_hides_is_judged_by_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(pid: int) -> int:
        raise PermissionError(pid)

    me = this_process()
    of_another_container = replace(me, namespace="other")
    assert [alive(of_another_container, age) for age in (SILENT_NS - 1, SILENT_NS)] == [True, False]
    assert [alive(of_another_container, age, 5) for age in (4, 5)] == [True, False]
    monkeypatch.setattr(process, "_started", hidden)
    assert alive(me, SILENT_NS - 1)
    assert not alive(me, SILENT_NS)
