"""What a callback is told; one that does not care for something leaves the method out."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


class Callback:
    """Receives every step's and evaluation's record (docs/train.md lists the keys) and notes for the reader."""

    def on_stage(self, name: str, steps: int, done: int) -> None:
        """A stage begins, or goes on at step `done`."""

    def on_step(self, record: Record) -> None:
        """One optimizer step."""

    def on_evaluation(self, record: Record) -> None:
        """One evaluation on the held-out shards."""

    def on_note(self, text: str) -> None:
        """A sentence for the reader: a skipped step, a checkpoint that could not be saved."""

    def close(self) -> None:
        """The run ends or stops."""
