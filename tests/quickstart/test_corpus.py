"""What the quickstart learns from: a folder of text, or a sentence that says what was found instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.errors import UserError
from centime.quickstart.corpus import corpus


def test_what_is_no_folder_of_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").mkdir()
    for name, said in (("nowhere", "is not there"), ("file", "is a file"), ("empty", "holds 0 bytes of text")):
        with pytest.raises(UserError, match=f"{name} {said}"):
            corpus(tmp_path / name)
