"""Nothing that centime did not write is deleted or replaced, by whatever path it is reached, and no input ever is."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.marks import MARK, Kind, files_in, foreign, kept
from centime.files.output import Output
from centime.files.places import held_input

KIND = Kind("a folder of notes", lambda _: set())
OURS = ("train/index", "train/tokens", "tokenizer")
NAMES = st.sampled_from(["notes.txt", "train", "tokenizer", "index", "deep", ".hidden", MARK, "ünï"])


def write(out: Path, text: str = "old", **options: object) -> None:
    with whole_folder(out, KIND, **options) as folder:  # type: ignore[arg-type]
        for name in OURS:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)


def as_folder(path: Path) -> None:
    path.mkdir()


def as_link(path: Path) -> None:
    path.symlink_to("nowhere")


STRANGERS: list[Callable[[Path], object]] = [
    lambda path: path.write_text("mine"),
    lambda path: path.touch(),
    as_folder,
    as_link,
    lambda path: path.symlink_to(".."),
    os.mkfifo,
]


def spellings(root: Path) -> dict[str, Path]:
    """Paths that all lead to root/out."""
    (root / "beside").mkdir()
    (root / "link").symlink_to("out")
    (root / "above").symlink_to(root)
    return {
        "plain": root / "out",
        "dots": root / "beside" / ".." / "out",
        "link": root / "link",
        "link above": root / "above" / "out",
        "link to a link": root / "above" / "above" / "link",
    }


def seen(folder: Path) -> dict[str, object]:
    """Every entry below a folder: its kind, and what a file or a link says."""
    found: dict[str, object] = {}
    for root, folders, names in os.walk(folder):
        for path in (Path(root, name) for name in (*folders, *names)):
            mode = path.lstat().st_mode
            said = path.readlink() if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
            found[path.relative_to(folder).as_posix()] = (stat.S_IFMT(mode), said)
    return found


@settings(max_examples=50, deadline=None)
@given(
    strangers=st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.integers(0, len(STRANGERS) - 1)), max_size=3
    ),
    marked=st.booleans(),
    spelling=st.sampled_from(["plain", "dots", "link", "link above", "link to a link"]),
    overwrite=st.booleans(),
    read=st.sampled_from([None, "train/index", "train", "", ".."]),
    read_by=st.sampled_from(["plain", "dots", "link", "link above"]),
)
def test_what_is_not_ours_stays(
    strangers: list[tuple[list[str], int]],
    marked: bool,
    spelling: str,
    overwrite: bool,
    read: str | None,
    read_by: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("tree")
    write(root / "out")
    if not marked:
        (root / "out" / MARK).unlink()
    before_ours = seen(root / "out")
    for parts, kind in strangers:
        path = root.joinpath("out", *parts)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_fifo():
                STRANGERS[kind](path)
    ways = spellings(root)
    before = seen(root)
    inputs = [ways[read_by] / read] if read is not None else []
    refused = ""
    try:
        write(ways[spelling], "new", inputs=inputs, overwrite=overwrite)
    except UserError as error:
        refused = str(error)
    after = seen(root)
    only_ours = marked and set(seen(root / "out")) == set(before_ours) and before[f"out/{MARK}"] == before_ours[MARK]
    if refused:
        assert after == before
        assert "not empty" in refused or "which this command reads" in refused
        assert not (only_ours and overwrite and read in (None, ".."))
    else:
        assert only_ours
        assert overwrite
        assert read in (None, "..")
        assert after.keys() == before.keys()
        assert (root / "out" / "tokenizer").read_text() == "new"
    shutil.rmtree(root)


MOUNTS = """
mount --bind "$0/out/train" "$0/mounted" || exit 77
exec "$1" -c 'import sys; from pathlib import Path; from centime.files.places import held_input
print(held_input(Path(sys.argv[1], "out"), [Path(sys.argv[1], "mounted", "index")]))' "$0"
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount, in a namespace of its own"
)
def test_a_folder_mounted_at_a_second_place_is_the_same(tmp_path: Path) -> None:
    write(tmp_path / "out")
    (tmp_path / "mounted").mkdir()
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", MOUNTS, str(tmp_path), sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    assert done.stdout.strip() == str(tmp_path / "mounted" / "index")
    assert held_input(tmp_path / "out", [tmp_path / "mounted"]) is None


def test_a_file_that_comes_while_the_folder_is_made_stays(tmp_path: Path) -> None:
    write(tmp_path / "out")

    def disturbed() -> None:
        with whole_folder(tmp_path / "out", KIND, overwrite=True):
            (tmp_path / "out" / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match=r"holds notes\.txt, which centime did not write"):
        disturbed()
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("mark", ["", "{", "[]", "null", '{"files": "x"}', '{"written_by": "somebody", "files": []}'])
def test_a_mark_that_says_something_else_is_none(tmp_path: Path, mark: str) -> None:
    write(tmp_path / "out")
    (tmp_path / "out" / MARK).write_text(mark)
    before = seen(tmp_path)
    with pytest.raises(UserError, match="not a folder of notes that centime wrote"):
        write(tmp_path / "out", overwrite=True)
    assert seen(tmp_path) == before


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    notes = Kind("notes", lambda _: set())
    for looks in (files_in, lambda path: foreign(path, set(), notes), lambda path: kept(path, notes)):
        with pytest.raises(FileNotFoundError):
            looks(tmp_path / "gone")


def test_a_folder_of_another_kind_stays(tmp_path: Path) -> None:
    write(tmp_path / "out")
    other = Kind("a folder of songs", lambda _: set(OURS))
    with pytest.raises(UserError, match="not a folder of songs"), whole_folder(tmp_path / "out", other, overwrite=True):
        pass


def output(path: Path, *inputs: Path) -> Output:
    return Output(path, "a song", "name another file", lambda path: path.read_text().startswith("song"), inputs)


@settings(max_examples=60, deadline=None)
@given(
    there=st.sampled_from(["nothing", "song", "text", "bytes", "empty", "folder", "pipe", "input"]),
    way=st.sampled_from(["plain", "link", "dots", "lost link"]),
)
def test_a_named_file_replaces_only_its_own(there: str, way: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("file")
    target = root / "target"
    content = {"song": b"song old", "text": b"mine", "bytes": b"\xff\xfe\0", "empty": b"", "input": b"song read"}
    if there in content:
        target.write_bytes(content[there])
    elif there == "folder":
        target.mkdir()
    elif there == "pipe":
        os.mkfifo(target)
    (root / "link").symlink_to("target")
    (root / "lost").symlink_to("absent/file")
    path = {
        "plain": target,
        "link": root / "link",
        "dots": root / ".." / root.name / "target",
        "lost link": root / "lost",
    }
    before = seen(root)
    inputs = [target] if there == "input" else []
    if way == "lost link" or there in ("text", "bytes", "folder", "pipe", "input"):
        with pytest.raises(UserError, match=r"name another file\.$"):
            output(path[way], *inputs).write_text("song new")
        assert seen(root) == before
    else:
        output(path[way], *inputs).write_text("song new")
        assert target.read_text() == "song new"
        assert set(seen(root)) == before.keys() | {"target"}
        assert (root / "link").is_symlink()


def test_standard_output_by_its_name(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from centime.files.output import Output\n"
        "Output(Path('/dev/stdout'), 'a song', 'no', lambda _: False).write_text('song')"
    )
    before = os.lstat("/dev/stdout")
    with (tmp_path / "file").open("w") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
    assert (tmp_path / "file").read_text() == "song"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"song"
    assert os.lstat("/dev/stdout").st_ino == before.st_ino


def test_the_mark_says_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "out")
    mark = json.loads((tmp_path / "out" / MARK).read_text())
    assert mark["written_by"] == "centime"
    assert mark["files"] == sorted([*OURS, MARK])
