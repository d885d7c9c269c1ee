"""`centime quickstart`: its options reach the quickstart, and what it found is JSON where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from centime.cli import app
from centime.quickstart import quickstart

FOUND = {"run": "runs/quickstart", "stopped_by": None}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the verb asked for; the answer ends as one whose training was stopped."""
    given: list[Any] = []

    def run(*positional: Any, as_json: bool) -> tuple[int, dict[str, Any]]:
        given.append((*positional, as_json))
        return 143, FOUND

    monkeypatch.setattr(quickstart, "quickstart", run)
    return given


def test_bare(asked: list[Any]) -> None:
    done = CliRunner().invoke(app, ["quickstart"])
    assert (done.exit_code, done.stdout) == (143, "")
    assert asked == [(Path("runs/quickstart"), None, None, None, False)]


def test_with_all_its_options(asked: list[Any]) -> None:
    done = CliRunner().invoke(
        app, ["quickstart", "--out=here", "--budget=2m", "--text=texts", "--price=$1/h", "--json"]
    )
    assert (done.exit_code, json.loads(done.stdout)) == (143, FOUND)
    assert done.stdout.startswith('{\n  "run"')
    assert asked == [(Path("here"), "2m", Path("texts"), "$1/h", True)]
