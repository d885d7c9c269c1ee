"""A file that is no GGUF file, or half of one, is a sentence to whoever opens it."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.data.tokenizers.gguf_file import write_tokenizer_of
from centime.errors import UserError
from centime.files.gguf_file import read_gguf
from centime.model.checkpoint import load

pytest.importorskip("gguf")

CONTENTS = {"empty": b"", "text": b"hello\n" * 400, "magic alone": b"GGUF", "a head of zeros": b"GGUF" + bytes(4000)}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_damaged_file_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    for opened in (read_gguf, load, lambda file: write_tokenizer_of(file, tmp_path)):
        with pytest.raises(UserError, match=r"m\.gguf is no whole GGUF file \(.+\); copy it again"):
            opened(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\)"):
        read_gguf(tmp_path / "none.gguf")
