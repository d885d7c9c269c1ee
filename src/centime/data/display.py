"""The progress bar over the sources: share read, text per second, tokens, time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from centime.units import format_bytes, format_count

Show = Callable[[int, int, int, int], None]
"""show(source bytes read, source bytes in all, bytes of text so far, tokens so far)."""


@contextlib.contextmanager
def source_bar(title: str) -> Iterator[Show]:
    """A bar on stderr while the block runs; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(title),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[tokens]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=None, rate="", tokens="")
        start = time.monotonic()

        def show(read: int, total: int, text_bytes: int, tokens: int) -> None:
            seconds = max(time.monotonic() - start, 1e-3)
            bar.update(
                task,
                completed=read,
                total=max(total, 1),
                rate=f"{format_bytes(text_bytes / seconds)}/s",
                tokens=f"{format_count(tokens)} tokens" if tokens else "",
            )

        yield show
