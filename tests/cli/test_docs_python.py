"""The Python that the documentation shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.small import small_folder

import centime


def test_the_sample_of_the_first_page_generates(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    small_folder(tmp_path / "runs" / "quickstart" / "model")
    monkeypatch.chdir(tmp_path)
    (sample,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "index.md").read_text("utf-8"), re.DOTALL)
    exec(compile(sample, "docs/index.md", "exec"), {})
    assert capsys.readouterr().out.strip()
    assert centime.load("somewhere/else").config.vocab_size == 300


def test_the_package_lists_what_it_offers() -> None:
    assert {"load", "save", "__version__"} <= set(dir(centime))
