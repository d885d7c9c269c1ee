"""A folder appears whole or not at all, and an old one is never lost to a kill."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from centime.errors import UserError
from centime.files.folder import exchange, recover, whole_folder
from centime.files.leftovers import beside, is_abandoned, remove_leftovers
from centime.files.marks import Kind

NOTES = Kind("notes", lambda _: set())

# Writes `out` anew and dies, as by kill -9, at the system call given: the n-th rename, exchange or fsync.
DIES = """
import os, sys
from pathlib import Path
from centime.files import folder as module
from centime.files.marks import Kind
out, call, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
owner = module if call == "exchange" else os
real, count = getattr(owner, call), 0
def dying(*arguments):
    global count
    count += 1
    if count == number:
        os._exit(9)
    return real(*arguments)
if call == "rename":  # as where folders cannot be exchanged
    module.exchange = lambda *_: False
setattr(owner, call, dying)
with module.whole_folder(out, Kind("notes", lambda _: set()), overwrite=True) as folder:
    (folder / "file").write_text("new")
"""


@pytest.mark.parametrize(
    ("call", "number"),
    [("rename", 1), ("rename", 2), ("exchange", 1), *(("fsync", number) for number in range(1, 5))],
)
def test_killed_at_any_call_leaves_the_old_or_the_new(tmp_path: Path, call: str, number: int) -> None:
    out = tmp_path / "out"
    with whole_folder(out, NOTES) as folder:
        (folder / "file").write_text("old")
    died = subprocess.run([sys.executable, "-c", DIES, str(out), call, str(number)], check=False)
    assert died.returncode == 9
    with pytest.raises(UserError, match="already exists and is not empty"), whole_folder(out, NOTES):
        pass
    # of the file, the mark, the folder, and, once it has its name, of the folder above
    assert (out / "file").read_text() == ("new" if (call, number) == ("fsync", 4) else "old")
    with whole_folder(out, NOTES, overwrite=True) as folder:
        (folder / "file").write_text("third")
    assert (out / "file").read_text() == "third"
    assert list(tmp_path.iterdir()) == [out], "and what the killed one left is gone"


@pytest.mark.parametrize(("stranger", "stays"), [(None, False), ("mine.txt", True)])
def test_an_old_folder_set_aside_goes_once_the_new_one_stands(
    tmp_path: Path, stranger: str | None, stays: bool
) -> None:
    """As after a kill between the last rename and the removal; but not with a file of somebody else's in it."""
    out, aside = tmp_path / "out", beside(tmp_path / "out", "aside")
    with whole_folder(out, NOTES) as folder:
        (folder / "file").write_text("new")
    shutil.copytree(out, aside)
    if stranger:
        (aside / stranger).touch()
    recover(out, NOTES)
    assert aside.exists() is stays
    assert (out / "file").read_text() == "new"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with whole_folder(tmp_path / "deep" / "out", NOTES) as folder:
            (folder / "file").write_text("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fails()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_what_had_been_written(tmp_path: Path) -> None:
    def fills() -> None:
        with whole_folder(tmp_path / "out", NOTES) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "a").write_bytes(bytes(1000))
            (folder / "b").write_bytes(bytes(536))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"takes no more \(No space left on device\) after 1\.50 KiB; nothing was kept"):
        fills()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), OSError(errno.EIO, "broken", "/elsewhere")])
def test_what_else_goes_wrong_is_told_as_it_is(tmp_path: Path, error: OSError) -> None:
    """What names no file, or one of another place, says nothing of this place."""
    with (
        pytest.raises(UserError, match=r"out was not made .*broken.*; nothing was kept"),
        whole_folder(tmp_path / "out", NOTES),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_kept_as_long_as_a_file_system_takes_what_is_made_of_it(tmp_path: Path) -> None:
    made = {}
    for length in range(1, 256):
        for letter in ("a", "é")[: 1 + (length % 2 == 0)]:
            name = letter * (length // len(letter.encode()))
            path = beside(tmp_path / name, f"partial-{'h' * 64}-4194304-00000000")
            assert len(os.fsencode(path.name)) <= 255
            assert path.name.startswith(f".{name}.") is (length <= 120)
            made[name] = path
    assert len(set(made.values())) == len(made)


def test_a_place_that_may_not_be_written(tmp_path: Path) -> None:
    place = Path("/sys") if os.geteuid() == 0 else tmp_path  # root may write anywhere but where the kernel says no
    tmp_path.chmod(0o500)
    with (
        pytest.raises(UserError, match=r"cannot be written .*Choose another --out"),
        whole_folder(place / "out", NOTES),
    ):
        pass
    tmp_path.chmod(0o700)


def test_a_place_inside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "deeper" / "out"):
        with pytest.raises(UserError, match=r"is no folder .*Choose another --out"), whole_folder(out, NOTES):
            pass
    assert (tmp_path / "file").read_text() == "kept"


def test_what_is_no_file_is_nobodys_leftover(tmp_path: Path) -> None:
    """A link or a pipe with such a name was not made by a writer of ours: it stays."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    host, gone = os.uname().nodename, 2**22 + 1  # above any process id
    names = ("pipe", "link", "file")
    assert [is_abandoned(tmp_path / name, host, gone) for name in names] == [False, False, True]
    left = [f".out.partial-{host}-{gone}-0000000{number}" for number in range(3)]
    for name, as_left in zip(names, left, strict=True):
        (tmp_path / name).rename(tmp_path / as_left)
    remove_leftovers(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == left[:2]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_two_folders_change_places_in_one_step(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (other / "within").mkdir(parents=True)
    assert exchange(one, other)
    assert (one / "within").is_dir()
    assert list(other.iterdir()) == []
    assert not exchange(one, tmp_path / "absent")
