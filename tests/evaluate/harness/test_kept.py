"""Results as a file: read back as they were, and over nothing that somebody else wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.errors import UserError
from centime.evaluate.harness.kept import Results, keep, read, results_file
from centime.evaluate.harness.scores import Document, TaskScore

SCORES = [
    TaskScore("t", "none", "acc", {"a": Document((1.0, 0.0), ("7", "é🙂"))}),
    TaskScore("r", "none", "bits_per_byte", {}, value=1.5, higher_is_better=False),
]
RESULTS = Results("model", "2026-12-01T00:00:00+00:00", {"tasks": ["t"]}, SCORES, {"cost": None})


def test_they_are_read_as_they_were_written_and_replace_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    for _ in range(2):
        keep(RESULTS, path)
        assert read(path) == RESULTS


@pytest.mark.parametrize("text", ["Call me Ishmael.", "{}", '{"format": 9}', "[]"])
def test_somebody_elses_file_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "novel.json"
    path.write_text(text)
    for write in (lambda: keep(RESULTS, path), results_file(path).require_writable):
        with pytest.raises(UserError, match="is not replaced; name another --out"):
            write()
    assert path.read_text() == text
    with pytest.raises(UserError):
        read(path)


def test_what_is_compared_with_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "first.json"
    keep(RESULTS, path)
    with pytest.raises(UserError, match="is read by this command"):
        results_file(path, [path]).require_writable()
    with pytest.raises(UserError, match="is a folder"):
        results_file(tmp_path).require_writable()
