"""The same figures as TensorBoard scalars, by global step: what is learned and what it takes, not what is counted."""

from __future__ import annotations

from pathlib import Path

from centime.train.run.callbacks.callback import Callback, Record

# Counters and guesses of metrics.jsonl: as charts they say nothing, and would stand before those that do.
BOOKKEEPING = {"step", "global_step", "tokens", "eval_tokens", "seconds_left", "projected_cost"}


class TensorBoard(Callback):
    """Writes event files into `folder`, whose name TensorBoard shows as the run's.

    On a resume, later events of the same steps replace earlier ones.
    """

    def __init__(self, folder: Path, global_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=global_step + 1)

    def on_step(self, record: Record) -> None:
        self._scalars("train", record)

    def on_evaluation(self, record: Record) -> None:
        self._scalars("held-out", record)

    def close(self) -> None:
        self._writer.close()

    def _scalars(self, group: str, record: Record) -> None:
        for key, value in record.items():
            if isinstance(value, int | float) and key not in BOOKKEEPING:
                self._writer.add_scalar(f"{group}/{key}", value, record["global_step"])
