"""What doctor says of machines other than this one: with GPUs, with too little room, too busy, half installed."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from centime.doctor import libraries, machine
from centime.doctor.examine import as_json, examine
from centime.doctor.finding import ABSENT, BROKEN, OK, WARN, Finding
from centime.doctor.home import home
from centime.doctor.machine import LITTLE_BYTES, devices, disks, price, system
from centime.ledger import Book
from centime.ledger.device import this_device

NOTHING = {"gpus": [], "mps": False, "cuda_build": None, "threads": 1, "cpu": "AVX2"}
H100 = {"name": "NVIDIA H100", "bytes": 80 * 2**30, "capability": [9, 0]}
A100 = {"name": "NVIDIA A100", "bytes": 40 * 2**30, "capability": [8, 0]}
L4 = {"name": "NVIDIA L4", "bytes": 24 * 2**30, "capability": [8, 9]}


def seen(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> dict[str, Finding]:
    """What is said of a machine of which torch tells these facts."""
    monkeypatch.setattr(machine, "_torch_facts", lambda: NOTHING | facts)
    return {finding.check: finding for finding in devices()}


def test_gpus_are_named_with_their_memory_and_what_they_compute_in(monkeypatch: pytest.MonkeyPatch) -> None:
    two = seen(monkeypatch, gpus=[H100, A100])
    assert (two["gpu"].state, two["gpu"].found) == (OK, "NVIDIA H100 (80.00 GiB), NVIDIA A100 (40.00 GiB)")
    assert two["precision"].found == "AVX2 on the processor; bf16 on the GPU"
    assert two["precision"].values["fp8"] is False
    for gpu in (H100, L4):
        one = seen(monkeypatch, gpus=[gpu])["precision"]
        assert (one.found, one.values["fp8"]) == ("AVX2 on the processor; bf16, fp8 on the GPU", True)
    none = seen(monkeypatch, mps=True)
    assert (none["gpu"].state, none["gpu"].found) == (
        ABSENT,
        "none: everything runs on the CPU; Apple's MPS is not used",
    )
    assert none["precision"].found == "AVX2 on the processor"
    assert "MPS" not in seen(monkeypatch)["gpu"].found


@pytest.mark.parametrize(
    ("build", "driver", "state"), [(None, True, WARN), ("13.0", True, ABSENT), (None, False, ABSENT)]
)
def test_a_driver_that_torch_was_not_built_for_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: str | None, driver: bool, state: str
) -> None:
    version = tmp_path / "version"
    if driver:
        version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module")
    monkeypatch.setattr(machine, "DRIVER", version)
    found = seen(monkeypatch, cuda_build=build)["gpu"]
    assert found.state == state
    assert ("without CUDA" in found.todo) == (state == WARN)


def test_without_torch_or_with_one_that_does_not_answer_the_processor_is_named_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = this_device("cpu")
    monkeypatch.setattr(machine, "_torch_facts", lambda: None)
    first, second = devices()
    assert (first.state, first.values) == (OK, {"name": cpu.name, "vcpus": cpu.vcpus})
    assert (second.check, second.state) == ("devices", BROKEN)
    monkeypatch.setattr(machine, "has_torch", lambda: False)
    assert [finding.state for finding in devices()] == [OK, ABSENT]


@pytest.mark.parametrize(("extra", "state"), [(-0.01, OK), (0.0, OK), (0.01, WARN)])
def test_a_machine_is_busy_where_more_wants_to_run_than_it_has_processors(
    monkeypatch: pytest.MonkeyPatch, extra: float, state: str
) -> None:
    vcpus = this_device("cpu").vcpus
    monkeypatch.setattr(os, "getloadavg", lambda: (vcpus + extra, 0.0, 0.0))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = seen(monkeypatch, threads=3)["threads"]
    assert found.state == state
    assert found.found.startswith("torch uses 3 of ")
    assert "(OMP_NUM_THREADS=3); load " in found.found
    assert ("other programs are busy" in found.todo) == (state == WARN)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP" not in seen(monkeypatch)["threads"].found


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_has_room_for_a_quickstart_or_that_is_said(
    monkeypatch: pytest.MonkeyPatch, centime_home: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.chdir(tmp_path)
    for free, state in ((LITTLE_BYTES, OK), (LITTLE_BYTES - 1, WARN)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(2 * free, free, free))
        here, there = disks()
        assert (here.check, here.state, here.values) == ("disk", state, {"path": str(tmp_path), "bytes": free})
        assert (there.check, there.values["path"]) == ("disk of CENTIME_HOME", str(tmp_path))
        assert bool(here.todo) == (state == WARN)
    assert here.found == f"2.00 GiB free at {tmp_path}"


def test_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert (system().state, system().todo) == (OK, "")
    monkeypatch.setattr(machine.platform, "release", lambda: "5.15.90.1-Microsoft-standard-WSL2")
    assert system().found.endswith(", WSL")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert (system().state, "MPS" in system().todo) == (WARN, True)
    monkeypatch.setattr(sys, "platform", "win32")
    assert (system().state, "not supported" in system().todo) == (WARN, True)


@pytest.mark.parametrize(("days", "state"), [(180, OK), (181, WARN)])
def test_a_price_that_is_old_is_said(centime_home: Path, days: int, state: str) -> None:
    date = datetime.date.today() - datetime.timedelta(days=days)
    row = f"device = {json.dumps(this_device().name)}\nper_hour = 0.5\ncurrency = 'EUR'\ndate = '{date}'\n"
    (centime_home / "prices.toml").write_text(f"[[price]]\n{row}")
    found = price()
    assert (found.state, "--price" in found.todo) == (state, state == WARN)
    assert found.values == {"per_hour": 0.5, "currency": "EUR", "date": str(date), "age_days": days}


def test_what_is_booked_is_counted_and_a_home_that_cannot_be_is_broken(
    centime_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = centime_home / "ledger.sqlite"
    with Book(ledger):
        pass
    found = {finding.check: finding for finding in home()}
    assert (found["ledger"].state, found["ledger"].values["intervals"]) == (OK, 0)
    assert found["ledger"].values["bytes"] == ledger.stat().st_size
    assert ": 0 intervals, " in found["ledger"].found
    with sqlite3.connect(ledger) as connection:
        connection.execute("DROP TABLE intervals")
    connection.close()
    assert {f.check: f for f in home()}["ledger"].state == BROKEN
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path / "file" / "home"))
    assert (home()[0].state, home()[0].found) == (BROKEN, f"{tmp_path / 'file'} is not a folder")
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path / "new" / "home"))
    assert (home()[0].state, "not there yet" in home()[0].found) == (ABSENT, True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert (home()[0].state, "cannot be written" in home()[0].found) == (BROKEN, True)


def installed(monkeypatch: pytest.MonkeyPatch, absent: set[str], errors: dict[str, str]) -> dict[str, Finding]:
    """Findings of a machine that lacks some libraries, and of which others do not load."""
    version, here = libraries._version, set[str]()

    def imported(names: list[str]) -> dict[str, str]:
        here.update(names)
        return {name: errors.get(name, "") for name in names}

    monkeypatch.setattr(libraries, "_version", lambda name: None if name in absent else version(name))
    monkeypatch.setattr(libraries, "imported", imported)
    return {finding.check: finding for finding in libraries.libraries()}


def test_a_library_that_is_needed_and_one_that_only_an_extra_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed(monkeypatch, {"numpy", "fastapi"}, {"torch": "OSError: libtorch.so"})
    assert (found["numpy"].state, found["numpy"].found) == (BROKEN, "not installed")
    assert found["numpy"].todo
    assert "fastapi" not in found
    gateway = found["[gateway]"]
    assert (gateway.state, gateway.values["absent"]) == (ABSENT, ["fastapi"])
    assert "fastapi not installed" in gateway.found
    assert "gateway" in gateway.todo
    assert (found["torch"].state, "does not load (OSError: libtorch.so)" in found["torch"].found) == (BROKEN, True)
    assert (found["[torch]"].state, found["[torch]"].todo) == (BROKEN, "")
    assert found["[torch]"].values["errors"] == {"torch": "OSError: libtorch.so"}
    assert (found["rich"].state, found["rich"].found, found["rich"].todo) == (OK, libraries._version("rich"), "")


def test_all_of_an_extra_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed(monkeypatch, set(), {})
    assert found["[torch]"].state == OK
    assert found["[torch]"].found.endswith(": all of it is here")
    assert [name for name in found if name.startswith("[")] == [f"[{extra}]" for extra in libraries.FOR]
    assert not [one.found for one in found.values() if one.found.startswith("for :")]


def test_an_extra_of_other_extras_has_their_libraries() -> None:
    by_extra = libraries._by_extra()
    assert {"numpy", "pydantic", "typer", "rich"} <= set(by_extra[""])
    assert "torch" not in by_extra[""]
    assert "torch" in by_extra["torch"]
    assert set(by_extra["torch"]) <= set(by_extra["serve"])


def test_a_library_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(libraries, "IMPORT_SECONDS", 3.0)
    said = libraries.imported(["json", "hangs", "string"])
    assert (said["hangs"], said["string"]) == ("it took more than 3 s", "")


def test_torch_that_says_nothing_is_no_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PROGRAM", "")
    assert machine._torch_facts() is None
    monkeypatch.setattr(machine, "_PROGRAM", "print('chatter'); print('{\"gpus\": []}')")
    assert machine._torch_facts() == {"gpus": []}
    monkeypatch.setattr(machine, "TORCH_SECONDS", 0.01)
    assert machine._torch_facts() is None


def test_a_look_that_fails_is_broken_and_the_others_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Finding:
        raise RuntimeError("no such thing")

    for name in ("devices", "price"):
        monkeypatch.setattr(machine, name, fails)
    monkeypatch.setattr(libraries, "libraries", list)
    found = examine()
    broken = [finding for finding in found if finding.state == BROKEN]
    assert [finding.check for finding in broken] == ["devices", "price"]
    assert broken[0].found == "cannot be looked at (RuntimeError: no such thing)"
    assert [finding.check for finding in found][:3] == ["centime", "system", "python"]
    assert as_json(found)["ok"] is False
    assert as_json([Finding("a", WARN, "b")]) == {
        "ok": True,
        "checks": [{"check": "a", "state": "warn", "found": "b", "todo": "", "values": {}}],
    }


def test_kernels_by_name_and_by_what_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    from centime.doctor import kernels as looked

    monkeypatch.setattr(looked, "is_to_build", lambda: True)
    assert looked.kernels().state == ABSENT
    monkeypatch.setattr(looked, "is_to_build", lambda: False)
    if looked.library():
        here = looked.kernels()
        assert (here.state, here.found.partition(";")[0]) == (OK, here.values["kernels"])
        assert here.values["product_bytes_per_s"] > 0
        assert here.values["read_bytes_per_s"] > 0
    monkeypatch.setattr(looked, "library", lambda: None)
    for why, todo in (("no C++ compiler was found", "install a C++ compiler"), ("CENTIME_NATIVE=0 turns", "unset")):
        monkeypatch.setattr(looked, "reason", lambda why=why: why)
        assert (looked.kernels().state, looked.kernels().values) == (WARN, {"kernels": None})
        assert looked.kernels().todo.startswith(todo)
