"""metrics.jsonl: one JSON object a step and one an evaluation, flushed as they come."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import IO, Any

from centime.errors import UserError
from centime.files.durable import whole_file
from centime.json_files import whole_lines
from centime.train.run.callbacks.callback import Callback, Record


class MetricsFile(Callback):
    """Appends to `path`. On a resume, what comes after the checkpoint's step is dropped first: it will come again.

    Raises UserError where it cannot be written as the run begins or goes on.
    """

    def __init__(self, path: Path, global_step: int) -> None:
        try:
            if path.exists():
                known = [line for line in whole_lines(path) if type(line.get("global_step")) is int]
                kept = [line for line in known if line["global_step"] <= global_step - _comes_again(line, global_step)]
                with whole_file(path) as partial:
                    partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            self._file: IO[str] = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror}); free some space or mend its rights, then use --resume."
            ) from error

    def on_step(self, record: Record) -> None:
        self._write(record)

    def on_evaluation(self, record: Record) -> None:
        self._write(record)

    def close(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError:
            pass

    def _write(self, record: Record) -> None:
        """A full disk loses lines of metrics, never the run."""
        try:
            self._file.write(json.dumps({key: _plain(value) for key, value in record.items()}) + "\n")
            self._file.flush()
        except OSError:
            pass


def _plain(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite is written as text, which a reader of numbers passes over."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _comes_again(line: Record, global_step: int) -> bool:
    """Whether a record of the checkpoint's own step comes after it: of text, and of a later stage's first problems."""
    return "eval_loss" in line or (line.get("step") == 0 and global_step > 0)
