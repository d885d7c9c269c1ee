"""What the bar over the sources says, and that it says nothing where nobody looks."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from rich.progress import Progress

from centime.data.display import SourceBar, source_bar


def test_the_bar_tells_the_share_read_and_the_pace_since_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 104.0, 110.0, 112.0])
    bar = Progress(console=Console(file=io.StringIO()))
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(clock))
        sources = SourceBar(bar, "Reading")
        sources.show(50, 200, 8 * 2**20, 2_000_000)
        (task,) = bar.tasks
        assert (task.description, task.percentage) == ("Reading", 25)
        assert task.fields == {"rate": "2.00 MiB/s", "tokens": "2.00 M tokens"}
        stream = SourceBar(bar, "A stream")
        stream.show(60, 0, 2**20, 0)
    assert (bar.tasks[1].completed, bar.tasks[1].total) == (60, None), "nobody knows its length"
    assert bar.tasks[1].fields == {"rate": "512.00 KiB/s", "tokens": ""}
    sources.stage("Merging")
    task = bar.tasks[-1]
    assert (len(bar.tasks), task.description, task.completed, task.total) == (2, "Merging", 0, None)
    assert task.fields == {"rate": "", "tokens": ""}


def test_where_stderr_is_no_terminal_nothing_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    with source_bar("Reading") as bar:
        bar.show(1, 2, 3, 4)
    assert capfd.readouterr() == ("", "")
