"""One writer a folder: the second is told who the first is, a kill frees, and nobody's file is taken for a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.leftovers import is_abandoned
from centime.files.lock import INSIDE, FolderLock, InUse, lock_beside
from centime.files.marks import Kind

NOTES = Kind("notes", lambda _: set())
HOLDS = """
import sys
from pathlib import Path
from centime.files.folder import whole_folder
from centime.files.marks import Kind
with whole_folder(Path(sys.argv[1]), Kind("notes", lambda _: set()), overwrite=True) as folder:
    (folder / "half").write_text("half")
    print("holds", flush=True)
    input()
"""


def test_the_second_writer_is_told_who_the_first_is_and_a_kill_lets_it_in(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "out")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds\n"
    there = sorted(tmp_path.iterdir())
    said = rf"in use by another process \(process id {holder.pid}\) on {os.uname().nodename} since 20.* UTC; wait"
    for out in (tmp_path / "out", tmp_path / "link", tmp_path / ".." / tmp_path.name / "out"):
        with pytest.raises(InUse, match=said), whole_folder(out, NOTES, overwrite=True):
            pass
    assert sorted(tmp_path.iterdir()) == there
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with whole_folder(tmp_path / "out", NOTES) as folder:
        (folder / "file").write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


TAKES = """
import os, sys
from pathlib import Path
from centime.files.lock import InUse, lock_beside
for _ in range(60):
    try:
        lock = lock_beside(Path("out"), "wait")
    except InUse:
        continue
    alone = os.open("alone", os.O_CREAT | os.O_EXCL)  # fails where somebody else has the lock too
    os.close(alone)
    os.unlink("alone")
    lock.close()
"""


@pytest.mark.slow
def test_no_two_have_a_lock_whose_file_comes_and_goes(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", TAKES], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_was_forked_off_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    with lock_beside(tmp_path / "out", "wait") as lock:
        pid = os.fork()
        if pid == 0:
            lock.close()
            os._exit(0)
        os.waitpid(pid, 0)
        with pytest.raises(InUse):
            lock_beside(tmp_path / "out", "wait")
    lock_beside(tmp_path / "out", "wait").close()


def test_a_process_without_standard_input_gives_its_lock_back_too(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os.close(0)  # the next file that is opened has this number
        try:
            lock_beside(tmp_path / "out", "wait").close()
        finally:
            os._exit(len(list(tmp_path.iterdir())))
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("content", ["my notes", '["pid"]', "lock: 7"])
def test_a_file_of_somebody_elses_is_no_lock(tmp_path: Path, content: str) -> None:
    (tmp_path / INSIDE).write_text(content)
    with pytest.raises(UserError, match="not a lock that centime wrote"):
        FolderLock(tmp_path / INSIDE, tmp_path, "wait")
    assert (tmp_path / INSIDE).read_text() == content


@pytest.mark.parametrize("content", ["", "7\n", '{"pid": 7', "\0\0\0"])
def test_what_a_crash_or_an_earlier_version_left_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / INSIDE).write_text(content)
    FolderLock(tmp_path / INSIDE, tmp_path, "wait").close()
    assert list(tmp_path.iterdir()) == []


def test_without_locks_it_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with whole_folder(tmp_path / "out", NOTES) as folder:
        (folder / "file").write_text("whole")
    assert f"the file system of {tmp_path / 'out'} has no locks" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("host", "hours", "given_up"),
    [("elsewhere", 23.9, False), ("elsewhere", 24.1, True), ("here", 0, True), ("here and runs", 100, False)],
)
def test_without_locks_age_and_process_say_what_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, hours: float, given_up: bool
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    left, then = tmp_path / "left", time.time() - hours * 3600
    (left / "within").mkdir(parents=True)
    os.utime(left / "within", (then, then))
    os.utime(left, (0, 0))  # the youngest of all that is in it counts
    pid = os.getpid() if host == "here and runs" else 2**22 + 1
    assert is_abandoned(left, "elsewhere" if host == "elsewhere" else os.uname().nodename, pid) is given_up
