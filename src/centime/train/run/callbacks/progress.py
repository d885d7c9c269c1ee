"""The live line: step, money and time left first, then what fits of the bar, the loss and the rest.

    412/1758 ━━━━╺━━━━ 1.94 bits/byte $0.0021 of $0.0068 2m 03s

Every part has a rank, and the lowest ranks go until the line is as wide as the terminal; what stays keeps its place.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from centime.train.run.callbacks.callback import Callback, Record
from centime.train.run.callbacks.rewards import accuracy_line, reward_parts
from centime.units import format_count, format_duration, format_money, plural

SMOOTHING = 10.0  # steps of the running means
SECONDS_A_LINE = 10.0  # between lines where the output is not a terminal
BAR = (6, 20)  # characters: the least that shows anything, and the most that is of use


class ProgressBar(Callback):
    """A bar a stage on a terminal; elsewhere (a log file) a line every ten seconds and one at the end of a stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last_line = 0.0
        self._steps = 0
        self._record: Record = {}
        self._smooth: dict[str, float] = {}

    def on_stage(self, name: str, steps: int, done: int) -> None:
        self._finish_stage()
        self._steps, self._record, self._smooth = steps, {}, {}
        self._console.print(
            f"[bold]{name}[/bold]: {plural(steps - done, 'step')}" + (f", from step {done}" if done else "")
        )
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._now, console=self._console, transient=True, refresh_per_second=10)
            self._live.start()

    def on_step(self, record: Record) -> None:
        self._record = record | self._smoothed(record)
        if self._live is None and time.monotonic() - self._last_line >= SECONDS_A_LINE:
            self._line()

    def on_evaluation(self, record: Record) -> None:
        """A line of its own, which stays: a figure in the live line would soon be an old one."""
        text = "eval_bits_per_byte" in record
        figure = f"held-out {record['eval_bits_per_byte']:.3f} bits/byte" if text else accuracy_line(record)
        self._console.print(f"  step {record['step']}/{self._steps}  {figure}", highlight=False, soft_wrap=True)

    def on_note(self, text: str) -> None:
        self._console.print(f"[yellow]{text}[/yellow]", highlight=False)

    def close(self) -> None:
        self._finish_stage()

    def _smoothed(self, record: Record) -> dict[str, float]:
        """Speed and MFU as running means, easier to read than one step's."""
        for key in ("tokens_per_s", "mfu"):
            if key in record:
                before = self._smooth.get(key, record[key])
                self._smooth[key] = before + (record[key] - before) / SMOOTHING
        return self._smooth

    def _finish_stage(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._record:
            self._line()
            self._record = {}

    def _line(self) -> None:
        self._last_line = time.monotonic()
        parts = [text for _, text in live_parts(self._record, self._steps)[1:]]
        self._console.print(
            f"  step {self._record['step']}/{self._steps}  {' | '.join(parts)} left", highlight=False, soft_wrap=True
        )

    def _now(self) -> Text:
        """The live line at the terminal's width."""
        if not self._record:
            return Text("")
        line = live_line(self._record, self._steps, self._console.width - 1)
        return Text(line, no_wrap=True, overflow="crop")


def live_parts(record: Record, steps: int) -> list[tuple[int, str]]:
    """(rank, text) from left to right; rank 0 always stays, higher ranks go first where there is no room."""
    if "reward" in record:
        return reward_parts(record, steps)
    parts = [(0, f"{record['step']}/{steps}"), (3, f"loss {record['main_loss']:.3f}")]
    if record.get("bits_per_byte") is not None:
        parts.append((2, f"{record['bits_per_byte']:.2f} bits/byte"))
    parts.append((4, f"{format_count(record['tokens_per_s'])} tok/s"))
    if record.get("mfu") is not None:
        parts.append((5, f"MFU {100 * record['mfu']:.0f} %"))
    if record.get("max_violation") is not None:
        parts.append((6, f"imbalance {record['max_violation']:.2f}"))
    if record.get("cost") is not None:
        projected = format_money(record["projected_cost"], record["currency"])
        parts.append((0, f"{format_money(record['cost'], record['currency'])} of {projected}"))
    return [*parts, (0, format_duration(record["seconds_left"]))]


def live_line(record: Record, steps: int, width: int) -> str:
    """The step's figures in `width` characters: step, money and time left, then the bar, then the rest by rank."""
    parts = live_parts(record, steps)
    while parts[-1][0] == 0 and _wide(parts) + BAR[0] + 1 > width and any(rank for rank, _ in parts):
        parts.remove(max(parts))
    room = width - _wide(parts) - 1
    first, *rest = (text for _, text in parts)
    bar = [_bar(record["step"] / steps, min(room, BAR[1]))] if room >= BAR[0] else []
    return " ".join([first, *bar, *rest])


def _wide(parts: list[tuple[int, str]]) -> int:
    return sum(len(text) for _, text in parts) + len(parts) - 1


def _bar(share: float, width: int) -> str:
    done = round(share * width)
    return "\u2501" * done + "\u2500" * (width - done)
