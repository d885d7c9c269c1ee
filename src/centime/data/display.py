"""The progress bar over the sources: share read, text per second, tokens, time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from centime.units import format_bytes, format_count


class SourceBar:
    """A bar with a title: `show` what is read, or begin a `stage` whose length nobody knows."""

    def __init__(self, bar: Progress, title: str) -> None:
        self._bar = bar
        self._task = self._begun(title)
        self._start = time.monotonic()

    def show(self, read: int, total: int, text_bytes: int, tokens: int) -> None:
        """Source bytes read and in all (0: a stream, of which nobody knows), bytes of text and tokens so far."""
        seconds = max(time.monotonic() - self._start, 1e-3)
        self._bar.update(
            self._task,
            completed=read,
            total=total or None,
            rate=f"{format_bytes(text_bytes / seconds)}/s",
            tokens=f"{format_count(tokens)} tokens" if tokens else "",
        )

    def stage(self, title: str) -> None:
        """Another title, a moving bar and the time since it began."""
        self._bar.remove_task(self._task)  # one that had a length keeps it, and would stand at 0 %
        self._task = self._begun(title)

    def _begun(self, title: str) -> TaskID:
        return self._bar.add_task(title, total=None, rate="", tokens="")


@contextlib.contextmanager
def source_bar(title: str) -> Iterator[SourceBar]:
    """A bar on stderr while the block runs; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[tokens]}"),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        yield SourceBar(bar, title)
