"""Files that a person names: read whole, from a pipe too, or refused in a sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from centime import input_files
from centime.errors import UserError
from centime.input_files import parse_toml, read_input, read_text


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f"sleep 0.3; (echo a; sleep 0.2; echo b) > {pipe}"])
    assert read_input(pipe) == b"a\nb\n"
    writer.wait()


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "WAIT_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe is a pipe that nobody writes to; expected a recipe\."):
        read_input(tmp_path / "pipe", "a recipe")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "cannot be read"),
        ("", "is a folder"),
        ("loop", "cannot be read"),
        ("a\0b", "cannot be read"),
        ("x" * 300, "cannot be read"),
        ("/dev/zero", "is a device"),
    ],
)
def test_what_is_no_file_gets_a_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match=message):
        read_input(tmp_path / name)


def test_more_than_anybody_means_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "MOST_BYTES", 10)
    (tmp_path / "large").write_bytes(b"x" * 10)
    assert read_input(tmp_path / "large") == b"x" * 10
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(UserError, match="more than 10 bytes"):
        read_input(tmp_path / "large")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfea\0", "UTF-16"), (b"a\xffb", "at byte 1"), (b"ab\0", "zero bytes, at character 2")],
)
def test_what_is_no_text_gets_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_text(tmp_path / "text")


def test_a_mark_before_the_text_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_text(tmp_path / "a.toml") == "a = 1"


@pytest.mark.parametrize("text", ["a = ", "a = " + "[" * 10_000, "a = " + "9" * 5_000, "a = 2025-02-30", "= 1"])
def test_what_is_no_toml_gets_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="it"):
        parse_toml(text, "it")
