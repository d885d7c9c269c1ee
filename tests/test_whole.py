"""Whatever is written is whole or absent, and what a killed writer left goes with the next write of the same thing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fsyncs import Order
from tests.ledger.made import made
from tests.small import small_model, small_tokenizer

from centime.ledger import Book
from centime.ledger.focus import write_focus
from centime.model import checkpoint
from centime.model.export_gguf import export_gguf
from centime.whole import ABANDONED_S, unfinished, whole_file


def killed_writing(write: Callable[[], object]) -> None:
    """`write` in a process that is killed (SIGKILL) when it comes to put its work in place."""
    pid = os.fork()
    if pid == 0:
        for name in ("rename", "replace"):
            setattr(os, name, lambda *_: os.kill(os.getpid(), 9))
        checkpoint._exchange = lambda *_: bool(os.kill(os.getpid(), 9))
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
    from centime.data.bpe import train_tokenizer, write_tokenizer

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
        assert len([*(tmp_path / "out").iterdir()]) == (1 if first else 2)  # each removed what the one before it left
        write()
        assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []
        assert len([*(tmp_path / "out").iterdir()]) == 1


def test_nobody_elses_is_removed(tmp_path: Path) -> None:
    final = tmp_path / "model"
    own = unfinished(final)
    here = own.name.removesuffix(f"{os.getpid()}")
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stays = [
        f"{here}{sleeper.pid}",  # being written
        ".model.partial-elsewhere-7",  # on another machine, perhaps
        ".model2.partial-elsewhere-7",
        ".model.partial",
        "model.partial-x",
        "model",
    ]
    goes = [".model.partial-elsewhere-8"]
    for name in (*stays, *goes):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("half")
    old = time.time() - ABANDONED_S - 60
    for path in (tmp_path / goes[0] / "file", tmp_path / goes[0]):
        os.utime(path, (old, old))
    os.utime(tmp_path / stays[1], (old, old))  # but the file in it is new
    assert unfinished(final) == own
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stays)
    sleeper.communicate(b"\n")
    unfinished(final)
    assert not (tmp_path / stays[0]).exists()


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
    monkeypatch.setattr(checkpoint, "_exchange", order.renaming(checkpoint._exchange))
    write()
    if (writer, again) == ("tokenizer", True):  # the old one is renamed first
        order.events.remove(next(event for event in order.events if event[0] == "renamed"))
    (final,) = (tmp_path / "out").iterdir()
    order.require_durable(final)
