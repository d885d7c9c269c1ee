"""Whatever is written is whole or absent, and what a killed writer left goes with the next write of the same thing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fsyncs import Order
from tests.ledger.made import made
from tests.small import small_model, small_tokenizer

from centime.files import folder as folders
from centime.files.durable import whole_file
from centime.files.folder import whole_folder
from centime.files.leftovers import remove_leftovers, unfinished_file
from centime.files.marks import Kind
from centime.ledger import Book
from centime.ledger.billing import write_focus
from centime.model import checkpoint
from centime.model.gguf.export import export_gguf


def killed_writing(write: Callable[[], object]) -> None:
    """`write` in a process that is killed (SIGKILL) when it comes to put its work in place."""
    pid = os.fork()
    if pid == 0:
        for name in ("rename", "replace"):
            setattr(os, name, lambda *_: os.kill(os.getpid(), 9))
        folders.exchange = lambda *_: bool(os.kill(os.getpid(), 9))
        try:
            write()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 9


def focus(folder: Path) -> Callable[[], object]:
    book = folder / "book" / "ledger.sqlite"
    with Book(book) as ledger:
        ledger.write([made()])
    return lambda: write_focus(Book(book), folder / "out" / "charges.csv")


def model(folder: Path) -> Callable[[], object]:
    tokenizer = small_tokenizer(folder / "tokenizer")
    whole = small_model(tokenizer)
    return lambda: checkpoint.save(whole, folder / "out" / "model", tokenizer.folder)


def gguf(folder: Path) -> Callable[[], object]:
    tokenizer = small_tokenizer(folder / "tokenizer")
    whole = small_model(tokenizer)
    return lambda: export_gguf(whole, tokenizer.folder, folder / "out" / "model.gguf", "f32")


def tokenizer(folder: Path) -> Callable[[], object]:
    from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer

    trained = train_tokenizer(["the cat sat"], 300)
    return lambda: write_tokenizer(trained, folder / "out" / "tokenizer", overwrite=True)


def text(folder: Path) -> Callable[[], object]:
    def write() -> None:
        with whole_file(folder / "out" / "text") as partial:
            partial.write_text("all of it")

    return write


WRITERS = {writer.__name__: writer for writer in (focus, model, gguf, tokenizer, text)}


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
def test_what_killed_writers_left_is_gone_after_the_next(tmp_path: Path, writer: str) -> None:
    (tmp_path / "out").mkdir()
    write = WRITERS[writer](tmp_path)
    for first in (True, False):
        for _ in range(3):
            killed_writing(write)
        left = [path for path in (tmp_path / "out").iterdir() if not path.name.endswith("lock")]
        assert len(left) == (1 if first else 2)  # each removed what the one before it left
        write()
        assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []
        assert len([*(tmp_path / "out").iterdir()]) == 1


WRITES = """
import sys
from pathlib import Path
from centime.files.leftovers import unfinished_file, unfinished_folder
with unfinished_file(Path(sys.argv[1], "page")) as file, unfinished_folder(Path(sys.argv[1], "model")) as folder:
    (folder / "half").write_text("half")
    print(file.name, folder.name, flush=True)
    input()
"""


def test_what_a_living_process_writes_stays_and_goes_once_it_is_killed(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    written = set(writer.stdout.readline().split())
    others = {".model2.partial-elsewhere-7", ".model.partial", "model.partial-x-7", ".model.partial-mine", "model"}
    for name in others:
        (tmp_path / name).mkdir()
    for final in ("page", "model"):
        remove_leftovers(tmp_path / final)
    assert {path.name for path in tmp_path.iterdir()} == written | others
    writer.kill()
    writer.communicate()
    for final in ("page", "model"):
        remove_leftovers(tmp_path / final)
    assert {path.name for path in tmp_path.iterdir()} == others


@settings(max_examples=40, deadline=None)
@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=90))
@example(name="n" * 255)
@example(name="ü" * 127)
@example(name=".a.partial-b-7")
@example(name="two\nlines")
def test_any_name_that_a_file_system_takes(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("names")
    if name in (".", "..") or len(os.fsencode(name)) > 255:
        return
    with unfinished_file(folder / name) as left:
        os.rename(left, folder / "aside")
    os.rename(folder / "aside", left)  # as a kill leaves it
    with whole_file(folder / name) as partial:
        partial.write_text("file")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "file")]
    (folder / name).unlink()
    with whole_folder(folder / name, Kind("notes", lambda _: set())) as partial:
        (partial / "file").write_text("folder")
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("old")

    def fails() -> None:
        with whole_file(tmp_path / "text") as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("text", "old")]


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are found in /proc")
@pytest.mark.parametrize("again", [False, True], ids=["new", "over an old one"])
@pytest.mark.parametrize("writer", WRITERS)
def test_all_of_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, again: bool
) -> None:
    (tmp_path / "out").mkdir()
    write = WRITERS[writer](tmp_path)
    if again:
        write()
    order = Order(monkeypatch)
    monkeypatch.setattr(folders, "exchange", order.renaming(folders.exchange))
    write()
    (final,) = (tmp_path / "out").iterdir()
    order.require_durable(final)
