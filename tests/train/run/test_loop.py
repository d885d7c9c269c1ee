"""The loop of a stage around steps that compute nothing: what is recorded, saved and evaluated, and when it leaves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from centime.errors import UserError
from centime.ledger.meter import Spent
from centime.recipe import RunSection
from centime.train.engine import StepResult
from centime.train.folder import RunProgress
from centime.train.run import loop as loop_file
from centime.train.run.callbacks import Callback
from centime.train.run.clock import RunClock
from centime.train.run.evaluation import Evaluation
from centime.train.run.loop import StageEnding, StageLoop
from centime.train.stages import StepSettings

LOADS = torch.tensor([[3, 1], [2, 2]])


class Heard(Callback):
    """What a loop tells, does and is told: everything in its order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.records: list[dict[str, Any]] = []
        self.saved: list[dict[str, Any]] = []
        self.booked: list[int] = []

    def on_stage(self, name: str, steps: int, done: int) -> None:
        self.events.append((name, steps, done))

    def on_step(self, record: dict[str, Any]) -> None:
        self.events.append(record["step"])
        self.records.append(record)

    def on_evaluation(self, record: dict[str, Any]) -> None:
        self.events.append(("evaluated", record["step"], record["eval_loss"], record["eval_tokens"]))

    def on_note(self, text: str) -> None:
        self.events.append(text)

    def evaluate(self, trainer: Any, final: bool) -> Evaluation:
        return Evaluation(9.0 if final else 5.0, 1.0, 70)

    def save(self, step: int, state: Any, meta: dict[str, Any], wait: bool) -> bool:
        self.events.append(("saved", step, "waited" if wait else "went on"))
        self.saved.append(meta)
        return True

    def steps(self) -> list[int]:
        return [meta["global_step"] for meta in self.saved]

    def add(self, tokens: int, flops: float) -> None:
        self.booked.append(tokens)

    def spent(self) -> Spent:
        """A dollar a step of each rank, and a second."""
        return Spent(10**9 * len(self.booked), float(len(self.booked)), "USD")


def made(
    heard: Heard, *, steps: int = 6, world: int = 1, result: Callable[[int], StepResult] | None = None, **given: Any
) -> StageLoop:
    """A stage of `steps` steps of 15 tokens, evaluated every second one and saved every fourth."""
    engine = SimpleNamespace(rank=0, world=world, state=dict, all_reduce=lambda _: None)
    plan = SimpleNamespace(
        name="pretrain", order="2", flops_per_token=2.0, bytes_per_token=None,
        lora=None,
        config=SimpleNamespace(num_nextn_predict_layers=1),
        schedule=SimpleNamespace(
            steps=steps, first_row=torch.arange(0, 100, 3),
            settings=lambda step: StepSettings(lr=0.5, mtp_weight=0.5, bias_speed=0.0, balance_weight=0.1),
        ),
        rows=SimpleNamespace(fingerprint="rows"),
        steps=lambda rank, world: SimpleNamespace(
            batch=lambda step: SimpleNamespace(tokens=15, sequences=3, loss_tokens=15, notes={})
        ),
    )  # fmt: skip
    progress = given.pop("progress", RunProgress(cost=100.0, device_ns=7))
    good = StepResult(2.0, 3.0, 4.0, 1.5, LOADS, False)

    def step(batch: Any, settings: Any) -> StepResult:
        return good if result is None else result(progress.step)

    trainer = SimpleNamespace(engine=engine, step=step, micro_batches=lambda _: iter([None]))
    signals = SimpleNamespace(received=None, interruptible=contextlib.nullcontext, hold=lambda: None)
    whole: dict[str, Any] = {
        "plan": plan, "trainer": trainer, "progress": progress, "meter": heard, "callbacks": [heard],
        "run": RunSection(checkpoint_every=4, evaluate_every=2, nonfinite_limit=2), "clock": RunClock([60.0, 40.0]),
        "checkpoints": heard, "held_out": heard, "also_saved": {"fitted": [1.0]}, "signals": signals,
        "deadline": float("inf"), "peak_flops": None,
    }  # fmt: skip
    return StageLoop(**(whole | given))


def test_what_was_trained_is_saved_before_it_is_evaluated_and_the_end_is_both() -> None:
    heard = Heard()
    assert made(heard).go() is StageEnding.FINISHED
    assert heard.events == [
        ("pretrain", 6, 0), 1, 2, ("evaluated", 2, 5.0, 70), 3, 4, ("saved", 4, "went on"), ("evaluated", 4, 5.0, 70),
        5, 6, ("saved", 6, "went on"), ("evaluated", 6, 9.0, 70),
    ]  # fmt: skip
    again = Heard()
    assert made(again, progress=RunProgress(step=6, global_step=6)).go() is StageEnding.FINISHED
    assert again.events == [("pretrain", 6, 6), ("evaluated", 6, 9.0, 70)]


@pytest.mark.parametrize("world", [1, 3])
def test_money_and_time_are_those_of_all_ranks_and_of_earlier_attempts(world: int) -> None:
    heard = Heard()
    made(heard, world=world).go()
    assert [record["cost"] for record in heard.records] == [100.0 + step * world for step in range(1, 7)]
    for record in heard.records:
        assert record["projected_cost"] == pytest.approx(record["cost"] + record["seconds_left"] * world)
        assert record["currency"] == "USD"
    assert [(meta["cost"], meta["device_ns"]) for meta in heard.saved] == [
        (100.0 + step * world, 7 + step * 10**9 * world) for step in (4, 6)
    ]
    assert (heard.saved[0]["rows"], heard.saved[0]["order"], heard.saved[0]["fitted"]) == ("rows", "2", [1.0])
    assert heard.booked == [15 // world] * 6


def test_a_record_has_the_whole_loss_beside_its_parts() -> None:
    heard = Heard()
    made(heard, steps=1).go()
    (record,) = heard.records
    assert record["loss"] == pytest.approx(2.0 + 0.5 * 3.0 + 0.1 * 4.0)
    assert (record["main_loss"], record["mtp_loss"], record["balance_loss"]) == (2.0, 3.0, 4.0)
    assert (record["grad_norm"], record["lr"], record["tokens"], record["global_step"]) == (1.5, 0.5, 15, 1)
    assert record["max_violation"] == pytest.approx((0.5 + 0.0) / 2)
    assert record["expert_load"] == LOADS.tolist()
    assert record["tokens_per_s"] == pytest.approx(15 / record["seconds"])
    assert record["seconds_left"] == 40.0  # of the next stage
    assert not record.keys() & {"mfu", "skipped", "bits_per_byte"}


def test_loads_are_recorded_as_often_as_a_picture_has_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_file, "LOAD_RECORDS", 3)
    heard = Heard()
    made(heard, steps=6).go()
    assert [record["step"] for record in heard.records if "expert_load" in record] == [1, 3, 5]


def test_a_signal_is_saved_to_its_end_and_a_budget_ends_with_its_step() -> None:
    heard = Heard()
    stopped = made(heard)
    stopped.callbacks = [heard, Stopping(stopped, at=3)]
    assert stopped.go() is StageEnding.SIGNAL
    assert heard.events[-2:] == [3, ("saved", 3, "waited")]
    over = Heard()
    assert made(over, deadline=time.monotonic() - 1).go() is StageEnding.BUDGET
    assert over.events == [("pretrain", 6, 0), 1, ("saved", 1, "went on")]


class Stopping(Callback):
    """A signal comes in this step."""

    def __init__(self, loop: StageLoop, at: int) -> None:
        self.loop, self.at = loop, at

    def on_step(self, record: dict[str, Any]) -> None:
        if record["step"] == self.at:
            self.loop.signals.received = 15


def test_steps_that_are_not_finite_are_counted_and_after_some_in_a_row_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_file, "diagnose", lambda *_: "the cause")
    bad = StepResult(float("nan"), 0.0, 0.0, float("nan"), LOADS, True)
    good = StepResult(2.0, 3.0, 4.0, 1.5, LOADS, False)
    heard = Heard()
    loop = made(heard, steps=8, result=lambda step: bad if step + 1 in {2, 5, 6} else good)
    with pytest.raises(UserError) as told:
        loop.go()
    assert str(told.value) == (
        "2 steps in a row were not finite, the last one pretrain step 6 (rows 15 to 17): the cause. Lower the stage's "
        "lr (now 0.5) or optimizer.clip, lengthen warmup_steps, or try run.precision = fp32; the last good checkpoint "
        "is of step 4."
    )
    notes = [event for event in heard.events if isinstance(event, str)]
    assert [note.partition(":")[0] for note in notes] == [
        "pretrain step 2 (rows 3 to 5)", "pretrain step 5 (rows 12 to 14)", "pretrain step 6 (rows 15 to 17)",
    ]  # fmt: skip
    assert [record["step"] for record in heard.records if "skipped" in record] == [2, 5, 6]
    assert (loop.progress.skipped, loop.progress.skipped_in_a_row) == (3, 2)
    with pytest.raises(UserError, match="no checkpoint was made yet"):
        made(Heard(), result=lambda _: bad).go()


def test_a_machine_that_is_faster_than_its_peak_has_another_peak() -> None:
    heard = Heard()
    seen: list[float] = []

    def above(flops_per_s: float) -> float:
        seen.append(flops_per_s)
        return 2 * flops_per_s

    made(heard, steps=2, peak_flops=1e-9, above_peak=above).go()
    assert seen[0] == pytest.approx(15 * 2.0 / heard.records[0]["seconds"])
    assert heard.records[0]["mfu"] == pytest.approx(0.5)
    slow = Heard()
    made(slow, steps=1, peak_flops=1e30).go()
    assert slow.records[0]["mfu"] == pytest.approx(30.0 / slow.records[0]["seconds"] / 1e30)


def test_a_forecast_is_corrected_once_after_a_while_and_a_stage_of_another_length_is_taken_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_file, "CORRECT_AFTER_S", 0.0)
    heard = Heard()
    corrected: list[int] = []

    def correct(loop: StageLoop) -> None:
        corrected.append(loop.progress.step)
        loop.plan = made(Heard(), steps=3).plan

    assert made(heard, correct=correct).go() is StageEnding.FINISHED
    assert corrected == [1]
    assert heard.events[:3] == [("pretrain", 6, 0), 1, ("pretrain", 3, 1)]
    assert [record["step"] for record in heard.records] == [1, 2, 3]
