"""Joules: counters where there are any (in the kernel's own file layout), else power at full load times time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.ledger.made import CPU

from centime.ledger import Book, Meter
from centime.ledger.energy import EnergyCounter
from centime.ledger.energy import counter as counters

SECOND = 10**9


def powercap(folder: Path, packages: int = 2, span: int = 1_000_000) -> list[Path]:
    """A powercap folder: packages, each with a core domain that must not be counted again, and the whole platform."""
    names = [(f"intel-rapl:{n}", f"package-{n}") for n in range(packages)]
    names += [(f"intel-rapl:{n}:0", "core") for n in range(packages)] + [("intel-rapl:9", "psys")]
    for name, label in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "name").write_text(f"{label}\n")
        (folder / name / "max_energy_range_uj").write_text(f"{span}\n")
        (folder / name / "energy_uj").write_text("999000\n")
    return [folder / f"intel-rapl:{n}" / "energy_uj" for n in range(packages)]


def test_without_a_counter_energy_is_power_times_time() -> None:
    counter = EnergyCounter(CPU, 3, powercap=Path("/nowhere"))
    assert counter.source == "tdp"
    assert counter.microjoules(5 * SECOND) - counter.microjoules(3 * SECOND) == 3 * 10 * 2 * 10**6  # 3 x 10 W x 2 s


def test_without_a_counter_or_a_power_there_is_none() -> None:
    counter = EnergyCounter(dataclasses.replace(CPU, tdp_watts=None), 1, powercap=Path("/nowhere"))
    assert counter.source == "none"
    assert counter.microjoules(SECOND) == 0


def test_rapl_adds_the_packages_up_and_survives_their_wrap_around(tmp_path: Path) -> None:
    first, second = powercap(tmp_path)
    counter = EnergyCounter(CPU, 1, powercap=tmp_path)
    assert counter.source == "rapl"
    first.write_text("999500")
    assert counter.microjoules(SECOND) == 500
    second.write_text("41")  # 999,000 -> 1,000,000 -> 0 -> 41
    assert counter.microjoules(SECOND) == 500 + 1_042
    first.write_text("999600")
    second.unlink()  # nothing is told while one of them is silent
    assert counter.microjoules(2 * SECOND) == 1_542
    second.write_text("51")  # and all of it when it is back
    assert counter.microjoules(3 * SECOND) == 1_652


def test_a_counter_that_is_lost_is_estimated_from_then_on(tmp_path: Path) -> None:
    first, _ = powercap(tmp_path)
    counter = EnergyCounter(CPU, 1, powercap=tmp_path)
    first.write_text("999500")
    assert counter.microjoules(SECOND) == 500
    first.unlink()
    assert (counter.microjoules(11 * SECOND), counter.source) == (500, "rapl")
    lost = counter.microjoules(12 * SECOND)
    assert lost == 500 + 11 * 10 * 10**6  # 10 W since it was last heard of
    assert counter.source == "tdp"
    assert "was lost" in counter.note
    first.write_text("0")
    assert counter.microjoules(13 * SECOND) == lost + 10 * 10**6


def test_what_is_lost_without_a_power_is_unknown(tmp_path: Path) -> None:
    first, _ = powercap(tmp_path)
    counter = EnergyCounter(dataclasses.replace(CPU, tdp_watts=None), 1, powercap=tmp_path)
    first.write_text("not a number")
    readings = [counter.microjoules(n * SECOND) for n in (1, 2, 30, 40)]
    assert (readings, counter.source) == ([0] * 4, "none")
    assert "no count of microjoules" in counter.note


def test_ranks_on_one_processor_share_its_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = powercap(tmp_path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    counter = EnergyCounter(CPU, 1, powercap=tmp_path)
    first.write_text("999500")
    assert counter.microjoules(SECOND) == 250


def test_rapl_that_may_not_be_read_is_no_counter(tmp_path: Path) -> None:
    first, _ = powercap(tmp_path)
    first.unlink()
    first.mkdir()  # reading it raises, as it does for those who are not root
    counter = EnergyCounter(CPU, 1, powercap=tmp_path)
    assert counter.source == "tdp"
    assert "cannot be read" in counter.note


def test_the_folder_of_the_counters_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    powercap(tmp_path)
    monkeypatch.setenv("CENTIME_POWERCAP", str(tmp_path))
    assert EnergyCounter(CPU, 1).source == "rapl"
    assert EnergyCounter(dataclasses.replace(CPU, counters=""), 1).source == "tdp"  # a device somewhere else
    monkeypatch.setenv("CENTIME_POWERCAP", str(tmp_path / "none"))
    assert "shows no energy counter" in EnergyCounter(CPU, 1).note


class Driver:
    """As much of pynvml as the counter uses."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.millijoules = {"a": 5_000, "b": 90_000}
        self.broken = False

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return "ab"[index]

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return f"GPU-{handle}{handle}"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.broken:
            raise self.NVMLError
        return self.millijoules[handle]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(counters, "nvml_library", lambda: driver)
    for name in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return driver


GPU = dataclasses.replace(CPU, name="NVIDIA H100 80GB HBM3", kind="gpu", vcpus=0)


def test_nvml_counts_the_devices_that_are_used(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    both, one = EnergyCounter(GPU, 2), EnergyCounter(GPU, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bb")
    other = EnergyCounter(GPU, 1)
    driver.millijoules = {"a": 5_001, "b": 90_010}
    assert [counter.source for counter in (both, one, other)] == ["nvml"] * 3
    assert [counter.microjoules(0) for counter in (both, one, other)] == [11_000, 1_000, 10_000]


def test_nvml_that_stops_answering_keeps_its_last_word(driver: Driver) -> None:
    counter = EnergyCounter(GPU, 2)
    driver.millijoules["a"] += 7
    assert counter.microjoules(0) == 7_000
    driver.broken = True
    assert counter.microjoules(0) == 7_000


def test_an_old_gpu_without_a_counter_is_estimated(driver: Driver) -> None:
    driver.broken = True
    assert EnergyCounter(GPU, 1).source == "tdp"


def test_more_devices_than_this_machine_has_are_estimated(driver: Driver) -> None:
    assert EnergyCounter(GPU, 3).source == "tdp"


def test_no_joule_falls_between_two_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, total = Book(tmp_path / "ledger.sqlite"), [1_000]

    def read() -> int:
        total[0] += 7  # a counter that never stands still
        return total[0]

    monkeypatch.setattr(counters, "_rapl", lambda _: read)
    with Meter(book, run="x", verb="train", stage="pretrain", device=CPU) as meter:
        for number in range(5):
            meter.stage(f"stage{number}")
    booked = book.intervals()
    assert {interval.energy_source for interval in booked} == {"rapl"}
    assert sum(interval.energy_uj for interval in booked) == total[0] - 1_007


def test_the_stand_in_driver_has_the_names_of_the_real_one() -> None:
    pynvml: Any = pytest.importorskip("pynvml", reason="nvidia-ml-py (the gpu extra) is not installed")
    wanted = [name for name in vars(Driver) if name.startswith("nvml")]
    assert [name for name in wanted if not hasattr(pynvml, name)] == []
    assert SimpleNamespace(error=pynvml.NVMLError).error
