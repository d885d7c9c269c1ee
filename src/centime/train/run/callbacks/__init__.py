"""What watches a run from outside the step: the progress bar, metrics.jsonl, TensorBoard. None of it changes a bit."""

from __future__ import annotations

from typing import Any, Protocol

from centime.train.run.callbacks.metrics_file import MetricsFile
from centime.train.run.callbacks.progress import ProgressBar
from centime.train.run.callbacks.tensorboard import TensorBoard

__all__ = ["Callback", "MetricsFile", "ProgressBar", "Record", "TensorBoard"]

Record = dict[str, Any]


class Callback(Protocol):
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
