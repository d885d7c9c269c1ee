"""Runs under a budget, whatever the clock does: a model, or a refusal before the folder is made."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.train.made import metrics, train, write_recipe

from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of, table_of
from centime.train.engine import StepResult, Trainer
from centime.train.folder.checkpoints import Checkpoints, step_of
from centime.train.forecast import StepSeconds, timing
from centime.train.run import fitted, loop
from centime.train.run import training_run as run
from centime.train.stages import Batch, StepSettings

LONG = ("train.tokens=400K", "context.tokens=100K", "sft.epochs=60")  # about 1,800 steps


class Jumping:
    """A clock whose `ahead` can be set, as one that a slow moment of hours has moved on."""

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def perf_counter(self) -> float:
        return time.perf_counter()

    def time_ns(self) -> int:
        return time.time_ns()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Jumping:
    made = Jumping()
    for module in (fitted, loop, run):
        monkeypatch.setattr(module, "time", made)
    return made


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, happens: Any) -> None:
    """Calls `happens` before the run's own step of that number, counted from 1."""
    real, seen = Trainer.step, [0]

    def step(self: Trainer, batch: Batch, settings: StepSettings) -> StepResult:
        if settings.lr:
            seen[0] += 1
            if seen[0] == number:
                happens()
        return real(self, batch, settings)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize("budget", ["0.000001s", "0.2s", "$0.0000000001"])
def test_a_budget_that_buys_nothing_is_refused_before_the_folder_is_made(
    budget: str, small: Path, tmp_path: Path
) -> None:
    match = r"too small: start-up and timing took .*; what is left buys 0 of [\d,]+ steps\. The least sensible is [\d$]"
    with pytest.raises(UserError, match=match):
        train(small, tmp_path / "run", *LONG, budget=budget)
    assert not (tmp_path / "run").exists()


def test_what_a_refusal_calls_sensible_is_taken(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where steps take as long at the second timing as at the first."""
    monkeypatch.setattr(run, "measure", lambda *a: [StepSeconds(0.0, 0.02, 0.05)] * 3)
    with pytest.raises(UserError) as refused:
        train(small, tmp_path / "run", *LONG, budget="0.01s")
    least = str(refused.value).partition("The least sensible is ")[2].split(";")[0]
    assert train(small, tmp_path / "run", *LONG, budget=least) == 0
    assert {line["stage"] for line in metrics(tmp_path / "run")} == {"pretrain", "context", "sft"}


@pytest.mark.parametrize("budget", ["1-tokens", "300 tokens"])
def test_a_budget_of_fewer_tokens_than_a_step_of_each_stage_is_refused(
    budget: str, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"does not pay for one step of every stage; that takes [\d.]+ "):
        train(small, tmp_path / "run", budget=budget)
    assert not (tmp_path / "run").exists()


def test_a_budget_of_years_changes_nothing(small: Path, tmp_path: Path) -> None:
    assert train(small, tmp_path / "run", "train.tokens=512", "context.tokens=256", budget="36500d") == 0
    assert json.loads((tmp_path / "run/run.json").read_text())["fitted"] == [1, 1, 1]


def test_a_budget_in_time_ends_in_time(
    small: Path, tmp_path: Path, clock: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe of hours whose steps take a second each, as no timed step did: all stages, a checkpoint and a model."""
    real = Trainer.step

    def step(self: Trainer, batch: Batch, settings: StepSettings) -> StepResult:
        clock.ahead += bool(settings.lr)
        return real(self, batch, settings)

    monkeypatch.setattr(Trainer, "step", step)
    assert train(small, tmp_path / "run", "train.tokens=100M", "context.tokens=9M", "sft.epochs=99", budget="40s") == 0
    assert clock.ahead < 40
    lines = metrics(tmp_path / "run")
    assert {line["stage"] for line in lines} == {"pretrain", "context", "sft"}
    newest = Checkpoints.newest(tmp_path / "run/checkpoints")
    assert newest is not None
    assert step_of(newest) == lines[-1]["global_step"] == clock.ahead
    assert (tmp_path / "run/model/config.json").exists()


@pytest.mark.parametrize("step", [1, 21, 25])
def test_a_clock_that_jumps_past_the_deadline_ends_in_a_model(
    step: int, small: Path, tmp_path: Path, clock: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every stage, first and last steps included: the stage ends there, and each later one has a step."""
    at_step(monkeypatch, step, lambda: setattr(clock, "ahead", 1e6))
    assert train(small, tmp_path / "run", budget="1h") == 0
    assert {line["stage"] for line in metrics(tmp_path / "run")} == {"pretrain", "context", "sft"}
    assert (tmp_path / "run/model/config.json").exists()
    assert all(factor >= 0 for factor in json.loads((tmp_path / "run/run.json").read_text())["fitted"])
    with Book() as book:
        plan = book.plan("run")
    assert plan is not None
    assert plan["seconds"] > 0
    assert plan["tokens"] > 0


def test_a_clock_that_jumps_during_the_timing_refuses_the_run(
    small: Path, tmp_path: Path, clock: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = timing.cost_of

    def cost_of(kinds: Any) -> Any:
        clock.ahead = 1e6
        return real(kinds)

    monkeypatch.setattr(timing, "cost_of", cost_of)
    with pytest.raises(UserError, match=r"A budget of 1h 00m is too small: start-up and timing took 11d 13h"):
        train(small, tmp_path / "run", budget="1h")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("step", [3, 22])
def test_a_resume_after_the_deadline_ends_in_a_model(
    step: int, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(small, tmp_path / "run", "run.checkpoint_every=1", budget="1h")
    assert train(tmp_path / "run", None, resume=True, budget="0.001s") == 0  # type: ignore[arg-type]
    assert (tmp_path / "run/model/config.json").exists()
    assert {line["stage"] for line in metrics(tmp_path / "run")} == {"pretrain", "context", "sft"}


def test_stages_grow_back_where_the_machine_is_faster_than_forecast(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timed at a second a step, the later stages get the recipe's own length back, and no more."""
    monkeypatch.setattr(run, "measure", lambda *a: [StepSeconds(0.0, 1.0, 0.05)] * 3)
    assert train(small, tmp_path / "run", budget="20s") == 0
    first, *later = json.loads((tmp_path / "run/run.json").read_text())["fitted"]
    assert first < 1
    assert later == [1, 1]


def test_the_forecast_is_corrected_by_the_first_seconds_of_steps(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, kept beside the first one with both intervals, and a budget that was cut too short grows back."""
    monkeypatch.setattr(loop, "CORRECT_AFTER_S", 0.02)
    monkeypatch.setattr(run, "measure", lambda *a: [StepSeconds(0.0, 1.0, 0.05)] * 3)
    recipe = write_recipe(
        tmp_path,
        small.parent,
        small.read_text()
        .replace("batch_size_start = 4", "")
        .replace("batch_ramp_until = 0.3", "")
        .replace("{", "{{")
        .replace("}", "}}"),
    )
    assert train(recipe, tmp_path / "run", budget="25s") == 0
    assert capsys.readouterr().err.count("Forecast after 0 s: ") == 1
    info = json.loads((tmp_path / "run/run.json").read_text())
    assert info["fitted"] == [1, 1, 1]
    with Book() as book:
        made = bill_of(book, str(tmp_path / "run"))
    assert made.plan is not None
    plan = made.plan["predicted"]
    for said in (plan, plan["corrected"]):
        assert 0 < said["seconds_low"] < said["seconds"] < said["seconds_high"]
    assert plan["corrected"]["tokens"] > plan["tokens"]
    table = Console(width=100, file=io.StringIO())
    table.print(table_of(made))
    text = table.file.getvalue()
    assert re.search(r"time +\S+.* \d+\.\d\d \(said .* to .*\)", text)
    assert "time, forecast after 0 s" in text
    page = (tmp_path / "run/report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "Time, forecast after 0 s" in page
