"""The yardstick of MFU: measured once for a machine, raised when a step passes it, and never a reason to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.train.made import metrics, write_recipe

from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.ledger.device import this_device
from centime.train.forecast import peak
from centime.train.run import command

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def known_peak() -> None:
    """Here no home has one."""


def test_it_is_measured_once(centime_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = this_device("cpu")
    first = peak.kept_peak(device, CPU, torch.float32)
    monkeypatch.setattr(peak, "measured_peak", lambda *_: first / 2)
    assert peak.kept_peak(device, CPU, torch.float32) == first
    assert peak.kept_peak(device, CPU, torch.bfloat16) == first / 2
    assert peak.raise_peak(device, torch.float32, first / 3) == first
    assert peak.raise_peak(device, torch.float32, first * 3) == first * 3
    assert peak.kept_peak(device, CPU, torch.float32) == first * 3


def test_a_home_is_made_where_there_is_none_and_one_that_cannot_be_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = this_device("cpu")
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path / "new" / "home"))
    assert peak.raise_peak(device, torch.float32, 5.0) == 5.0
    assert peak.raise_peak(device, torch.float32, 3.0) == 5.0
    (tmp_path / "file").touch()
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path / "file" / "home"))
    assert peak.raise_peak(device, torch.float32, 5.0) == 5.0
    assert peak.raise_peak(device, torch.float32, 3.0) == 3.0


@pytest.mark.parametrize("content", ["", "[]", "{", "\0\0", '{"x": 3}'])
def test_a_damaged_file_is_measured_anew(content: str, centime_home: Path) -> None:
    (centime_home / peak.FILE).write_text(content)
    found = peak.kept_peak(this_device("cpu"), CPU, torch.float32)
    assert found in json.loads((centime_home / peak.FILE).read_text()).values()


def test_a_step_above_it_raises_it_and_says_so(
    corpus: Path, tmp_path: Path, centime_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A yardstick of one FLOP/s: the first step finds it wrong; figures, run.json, ledger and file follow."""
    device = this_device("cpu")
    for dtype in (torch.float32, torch.bfloat16):
        peak.raise_peak(device, dtype, 1.0)
    settings = ["train.tokens=512", "context.tokens=256", "sft.epochs=0.1"]
    done = command.train(
        write_recipe(tmp_path, corpus), settings, tmp_path / "run", resume=False, budget=None, price="$1/h"
    )
    assert done.code == 0
    assert "A step was faster than the yardstick of MFU" in " ".join(capsys.readouterr().err.split())
    assert all(line["mfu"] <= 1 for line in metrics(tmp_path / "run") if "mfu" in line)
    with Book() as book:
        made = bill_of(book, str(tmp_path / "run"))
    assert made.training.mfu is not None
    assert made.training.mfu <= 1
    assert max(json.loads((centime_home / peak.FILE).read_text()).values()) > 1e6
    assert json.loads((tmp_path / "run/run.json").read_text())["device"]["peak_flops"] > 1e6
