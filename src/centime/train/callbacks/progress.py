"""The progress bar: loss, bits per byte, speed, MFU, balance, money so far, time left and projected cost."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

from centime.units import format_count, format_duration, format_money, plural

SMOOTHING = 10.0  # steps of the running means
SECONDS_A_LINE = 10.0  # between lines where the output is not a terminal


class Progress:
    """A bar a stage on a terminal; elsewhere (a log file) a line every ten seconds and one at the end of a stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._last_line = 0.0
        self._steps = 0
        self._record: dict[str, Any] = {}
        self._held_out = ""
        self._smooth: dict[str, float] = {}

    def on_stage(self, name: str, steps: int, done: int) -> None:
        self._finish_stage()
        self._steps, self._record, self._held_out, self._smooth = steps, {}, "", {}
        self._console.print(
            f"[bold]{name}[/bold]: {plural(steps - done, 'step')}" + (f", from step {done}" if done else "")
        )
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
            )
            self._bar = RichProgress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task(name, total=steps, completed=done, figures="")
            self._bar.start()

    def on_step(self, record: dict[str, Any]) -> None:
        self._record = record = record | self._smoothed(record)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=record["step"], figures=self._figures(record))
        elif time.monotonic() - self._last_line >= SECONDS_A_LINE:
            self._line()

    def on_evaluation(self, record: dict[str, Any]) -> None:
        self._held_out = f"held-out {record['eval_bits_per_byte']:.3f} bits/byte"

    def on_note(self, text: str) -> None:
        self._console.print(f"[yellow]{text}[/yellow]", highlight=False)

    def close(self) -> None:
        self._finish_stage()

    def _smoothed(self, record: dict[str, Any]) -> dict[str, float]:
        """Speed and MFU as running means, easier to read than one step's."""
        for key in ("tokens_per_s", "mfu"):
            if key in record:
                before = self._smooth.get(key, record[key])
                self._smooth[key] = before + (record[key] - before) / SMOOTHING
        return self._smooth

    def _finish_stage(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._record:
            self._line()
            self._record = {}

    def _line(self) -> None:
        self._last_line = time.monotonic()
        self._console.print(
            f"  step {self._record['step']}/{self._steps}  {self._figures(self._record)}",
            highlight=False,
            soft_wrap=True,
        )

    def _figures(self, record: dict[str, Any]) -> str:
        """loss 3.21 | 1.71 bits/byte | 12.3 K tok/s | MFU 31 % | imbalance 0.4 | $0.0012 of $0.0040 | 3m 10s left"""
        parts = [f"loss {record['main_loss']:.3f}"]
        if record.get("bits_per_byte") is not None:
            parts.append(f"{record['bits_per_byte']:.3f} bits/byte")
        if self._held_out:
            parts.append(self._held_out)
        parts.append(f"{format_count(record['tokens_per_s'])} tok/s")
        if record.get("mfu") is not None:
            parts.append(f"MFU {100 * record['mfu']:.0f} %")
        if record.get("max_violation") is not None:
            parts.append(f"imbalance {record['max_violation']:.2f}")
        if record.get("cost") is not None:
            projected = format_money(record["projected_cost"], record["currency"])
            parts.append(f"{format_money(record['cost'], record['currency'])} of {projected}")
        parts.append(f"{format_duration(record['seconds_left'])} left")
        return " | ".join(parts)
