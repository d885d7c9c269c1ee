"""`centime catalogue update` as a person asks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.catalogue.updates.made import Catalogues
from typer.testing import CliRunner

from centime.cli import app
from centime.cli.program.ending import run


def test_one_source_from_an_address(server: Catalogues, centime_home: Path) -> None:
    words = ["catalogue", "update", "--source", "epoch", "--from", f"{server.address}/epoch.csv"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "epoch: 3 release prices of 20" in done.stdout
    assert "Left out, for centime has no row of them: 1 entry of 1 name: NVIDIA GeForce GTX 1080 Ti." in done.stdout
    [found] = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (found["source"], found["rows"], found["file"]) == (
        "epoch",
        3,
        str(centime_home / "refreshed" / "epoch.csv"),
    )


def test_what_cannot_be_read_ends_with_2(capsys: pytest.CaptureFixture[str], server: Catalogues) -> None:
    assert run(["catalogue", "update", "--source", "epoch", "--from", f"{server.address}/nothing.csv"]) == 2
    assert "answered 404" in capsys.readouterr().err
    assert run(["catalogue", "update", "--from", server.address]) == 2
    assert "--from is where one source is read" in capsys.readouterr().err
