"""What is said of a busy machine before a run, and what a program is told of one that has ended."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from centime.train.run.command import TrainedRun
from centime.train.run.show import say_if_busy
from centime.train.run.training_run import RunOutcome


def said_on(device: str, vcpus: int | None) -> str:
    """What is said on this device of a machine of so many processors; None: it does not know."""
    console = Console(file=io.StringIO(), width=200)
    setup: Any = SimpleNamespace(
        console=console, device=torch.device(device), metered=SimpleNamespace(vcpus=vcpus), ranks=None
    )
    say_if_busy(setup)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_machine_is_busy_where_more_programs_want_cores_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (4.04, 0.0, 0.0))
    assert said_on("cpu", 4).startswith("The machine is busy (load 4.0 on 4 cores): a run beside other programs")
    assert said_on("cpu", 5) == ""
    assert said_on("cuda", 4) == ""  # its cores have little to do
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert "on 3 cores" in said_on("cpu", None)
    monkeypatch.setattr(os, "getloadavg", lambda: (4.0, 9.0, 9.0))
    assert said_on("cpu", 4) == ""  # as many as there are

    def unknown() -> None:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert said_on("cpu", 1) == ""


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (
            RunOutcome(Path("run"), None),
            0,
            {"model": "run/model", "stopped_by": None, "saved": True, "report": "run/report.html", "bill": {"x": 1}},
        ),
        (
            RunOutcome(Path("run"), signal.SIGTERM, saved=False),
            143,
            {"model": None, "stopped_by": "SIGTERM", "saved": False, "report": "run/report.html", "bill": {"x": 1}},
        ),
    ],
)
def test_a_program_is_told_of_a_model_only_where_one_is_whole(
    outcome: RunOutcome, code: int, told: dict[str, Any]
) -> None:
    bill: Any = SimpleNamespace(as_json=lambda: {"x": 1})
    run = TrainedRun(outcome, Path("run/model"), Path("run/report.html"), bill)
    assert run.code == code
    assert run.as_json() == {"run": "run", **told}
    bare = TrainedRun(outcome, Path("run/model"), None, None).as_json()
    assert (bare["report"], bare["bill"]) == (None, None)
