"""What watches a run: a log gets lines now and then, a resumed run's files go on where its checkpoint was."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from tests.train.run.test_progress import RECORD

from centime.train.run.callbacks import MetricsFile, ProgressBar, TensorBoard, progress
from centime.train.run.callbacks.progress import BAR, live_line, live_parts


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_a_stages_end(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=200)
    bar = ProgressBar(console)
    bar.on_stage("pretrain", 1758, 0)
    for step, second in enumerate((100.0, 105.0, 109.9, 110.0, 111.0, 120.5, 125.0)):
        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda second=second: second))
        bar.on_step(RECORD | {"step": step})
    bar.on_stage("sft", 20, 3)
    bar.on_step(RECORD | {"step": 4})
    bar.close()
    bar.close()
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[1] for line in lines if line.startswith("  step")] == [
        *(f"{n}/1758" for n in (0, 3, 5, 6)),
        "4/20",
    ]
    assert (lines[0], lines[-2]) == ("pretrain: 1,758 steps", "sft: 17 steps, from step 3")
    assert lines[1].endswith("imbalance 3.11 | $0.00210 of $0.00680 | 2m 03s left")


def test_speed_is_shown_as_a_running_mean() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    bar = ProgressBar(console)
    bar.on_stage("pretrain", 1758, 0)
    for speed, shown in ((1000.0, "1.00 K"), (2000.0, "1.10 K"), (100.0, "1.00 K")):
        bar.on_step(RECORD | {"tokens_per_s": speed})
        assert f" {shown} tok/s" in str(bar._now())
    bar.on_stage("context", 10, 0)
    assert str(bar._now()) == ""
    bar.on_step(RECORD | {"tokens_per_s": 100.0})
    assert " 100 tok/s" in str(bar._now()), "a stage's speed is its own"
    bar.close()


def test_a_terminal_that_is_too_narrow_still_gets_one_line() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=20, color_system=None)
    bar = ProgressBar(console)
    bar.on_stage("pretrain", 1758, 0)
    bar.on_step(RECORD)
    assert len(console.render_lines(bar._now())) == 1
    bar.close()


def test_the_bar_is_as_long_as_there_is_room_and_no_longer_than_is_of_use() -> None:
    lengths = {sum(live_line(RECORD, 1758, width).count(sign) for sign in "━─") for width in range(10, 300)}
    assert (min(lengths - {0}), max(lengths)) == BAR == (6, 20)
    whole = " ".join(text for _, text in live_parts(RECORD, 1758))
    least = len(whole) + 1 + BAR[0]
    for width, parts in ((least, True), (least - 1, False)):
        assert ("imbalance" in live_line(RECORD, 1758, width)) == parts, "nothing goes that there is room for"
    halves = {step: live_line(RECORD | {"step": step}, 100, 300).count("━") for step in (0, 50, 100)}
    assert halves == {0: 0, 50: 10, 100: 20}


def test_metrics_go_on_where_the_checkpoint_was(tmp_path: Path) -> None:
    """An evaluation comes after its step's checkpoint, so that the resumed run makes it again."""
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, 0)
    for step in range(1, 6):
        first.on_step({"global_step": step, "loss": float("nan") if step == 2 else 1.5})
        if step in (2, 3, 5):
            first.on_evaluation({"global_step": step, "eval_loss": 2.5})
    first.close()
    with path.open("a") as file:
        file.write('[]\n{"global_step": "3"}\n{"global_step": 6, "lo')
    again = MetricsFile(path, 3)
    again.on_evaluation({"global_step": 3, "eval_loss": 2.0})
    again.close()
    steps = [{"global_step": 1, "loss": 1.5}, {"global_step": 2, "loss": "nan"}, {"global_step": 3, "loss": 1.5}]
    expected = [*steps[:2], {"global_step": 2, "eval_loss": 2.5}, steps[2], {"global_step": 3, "eval_loss": 2.0}]
    assert [json.loads(line) for line in path.read_text().splitlines()] == expected


def test_tensorboards_later_events_replace_those_after_the_checkpoint(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for begun, loss in ((0, 3.0), (2, 1.0)):
        board = TensorBoard(tmp_path, begun)
        for step in range(begun + 1, 5):
            board.on_step({"global_step": step, "step": step, "loss": loss, "stage": "pretrain", "skipped": False})
        board.on_evaluation({"global_step": begun + 1, "eval_loss": 2.0, "eval_tokens": 9})
        board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("train/loss")] == [(1, 3.0), (2, 3.0), (3, 1.0), (4, 1.0)]
    assert [one.step for one in events.Scalars("held-out/eval_loss")] == [1, 3]
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/skipped", "held-out/eval_loss"}
