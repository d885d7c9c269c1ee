"""A calibrated machine: what train says before its first step, and what the bill makes of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from tests.forked import centime
from tests.ledger.made import CPU
from tests.plan.step.test_calibrated import machine
from tests.train.made import write_recipe

from centime.catalogue.machine import write_profile
from centime.ledger.device import this_device
from centime.train.forecast.by_profile import fits


@pytest.mark.parametrize(
    ("kind", "name", "threads", "dtype", "taken"),
    [
        ("cpu", "this one", 4, "bf16", True),
        ("cpu", "this one", 2, "bf16", False),
        ("gpu", "this one", 2, "bf16", True),  # its threads are nobody's concern
        ("gpu", "another", 4, "bf16", False),
        ("gpu", "this one", 4, "fp32", False),
    ],
)
def test_a_profile_is_of_one_device_its_threads_and_a_type(
    kind: Literal["cpu", "gpu"], name: str, threads: int, dtype: str, taken: bool
) -> None:
    profile: Any = SimpleNamespace(device="this one", threads=4, dtype="bf16")
    assert fits(profile, dataclasses.replace(CPU, kind=kind, name=name), threads, dtype) is taken


@pytest.mark.slow
def test_train_says_what_the_profile_says_and_the_bill_what_came_of_it(
    corpus: Path, tmp_path: Path, centime_home: Path
) -> None:
    found = this_device("gpu" if torch.cuda.is_available() else "cpu").name
    profile = dataclasses.replace(machine(), device=found, threads=1, dtype="fp32")
    write_profile(profile, centime_home / "machine.json")
    folder = tmp_path / "run"
    run = centime("train", write_recipe(tmp_path, corpus), "--out", folder, "--set", "run.precision=fp32")
    assert run.returncode == 0, run.stderr
    assert f"By this machine's profile of {profile.made[:10]}:" in run.stderr
    assert "time, by the profile" in centime("bill", folder).stdout
    planned = json.loads(centime("bill", folder, "--json").stdout)["plan"]["predicted"]["by_profile"]
    assert planned["seconds"] > sum(planned["stages"].values()) > 0
    assert list(planned["stages"]) == ["pretrain", "context", "sft"]


def test_a_profile_of_another_type_is_not_taken(corpus: Path, tmp_path: Path, centime_home: Path) -> None:
    write_profile(machine(), centime_home / "machine.json")  # of a device called "cpu"
    run = centime("train", write_recipe(tmp_path, corpus), "--out", tmp_path / "run", "--budget", "512-tokens")
    assert run.returncode == 0, run.stderr
    assert "By this machine's profile" not in run.stderr
