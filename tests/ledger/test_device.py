"""The device: found without torch, honest about what it assumes."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from centime.catalogue.chips import chip_for, chips, cpu_power_for
from centime.errors import UserError
from centime.ledger import device
from centime.ledger.device import Device, this_device, visible_gpus
from centime.ledger.interval import begin_interval

# What NVIDIA's driver says, and the chip that is meant.
DRIVER_NAMES = {
    "NVIDIA H100 80GB HBM3": "H100 SXM 80GB",
    "NVIDIA H100 PCIe": "H100 PCIe 80GB",
    "NVIDIA H100 NVL": "H100 NVL 94GB",
    "NVIDIA H200": "H200 SXM 141GB",
    "NVIDIA H20": "H20 96GB",
    "NVIDIA H800": "H800 SXM 80GB",
    "NVIDIA GH200 480GB": "GH200 96GB",
    "NVIDIA GB200": "GB200 NVL72",
    "NVIDIA B200": "B200 SXM 180GB",
    "NVIDIA A100-SXM4-80GB": "A100 SXM 80GB",
    "NVIDIA A100-SXM4-40GB": "A100 SXM 40GB",
    "NVIDIA L4": "L4",
    "NVIDIA L40S": "L40S",
    "NVIDIA GeForce RTX 4090": "RTX 4090",
    "Tesla V100-SXM2-32GB": "V100 SXM2 32GB",
    "Tesla T4": "T4",
    "NVIDIA A100 80GB PCIe": None,  # priced, but no row among the chips
    "NVIDIA GeForce GTX 1080": None,
}


@pytest.mark.parametrize(("said", "meant"), DRIVER_NAMES.items())
def test_a_chip_is_found_by_the_drivers_name(said: str, meant: str | None) -> None:
    chip = chip_for(said)
    assert (chip and chip.name) == meant


def test_every_chip_has_its_source_and_is_found_by_its_own_name() -> None:
    for chip in chips():
        assert chip.source
        found = chip_for(chip.name)
        assert found is not None
        assert found.name == chip.name


def test_this_machines_cpu() -> None:
    here = this_device("cpu")
    assert here.kind == "cpu"
    assert here.count == 1
    assert 1 <= here.vcpus <= (os.cpu_count() or 1)
    assert here.name
    assert here.tdp_watts is not None
    assert here.tdp_watts > 0
    assert here.tdp_source.startswith("assumed as")
    assert here.peak_flops is None
    assert str(here) == f"{here.name} ({here.vcpus} vCPU)"


def test_only_the_processors_that_the_process_may_use_count() -> None:
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "from centime.ledger.device import this_device; print(this_device('cpu').vcpus)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "1\n"


def test_ranks_on_one_cpu_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_usable_vcpus", lambda: 8)
    parts = []
    for ranks, rank, vcpus in (("", "", 8), ("1", "0", 8), ("2", "0", 4), ("2", "1", 4), ("16", "15", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
        monkeypatch.setenv("LOCAL_RANK", rank)
        here = this_device("cpu")
        assert here.vcpus == vcpus
        parts.append(here.part)
    assert parts == ["cpu", "cpu", "cpu:0/2", "cpu:1/2", "cpu:15/16"]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The system's files by path, as a test puts them; there are no others."""
    files: dict[str, str] = {}

    class File:
        def __init__(self, path: str) -> None:
            self.path = path

        def read_text(self) -> str:
            if self.path not in files:
                raise FileNotFoundError(self.path)
            return files[self.path]

    monkeypatch.setattr(device, "Path", File)
    return files


@pytest.mark.parametrize(
    ("limit", "quota", "vcpus"),
    [
        (None, None, 6),
        ("max 100000", "-1", 6),
        ("150000 100000", None, 2),  # of a second processor a half counts as one
        ("10000 100000", None, 1),
        ("900000 100000", None, 6),
        (None, "300000", 3),
        ("400000 100000", "200000", 2),
        ("no words", "no number", 6),
    ],
)
def test_a_containers_quota_counts(
    system: dict[str, str], monkeypatch: pytest.MonkeyPatch, limit: str | None, quota: str | None, vcpus: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(6), raising=False)
    if limit is not None:
        system["/sys/fs/cgroup/cpu.max"] = limit
    if quota is not None:
        system["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = quota
        system["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000"
    assert this_device("cpu").vcpus == vcpus


@pytest.mark.parametrize(("said", "vcpus"), [(6, 6), (None, 1)])
def test_where_a_system_does_not_say_which_processors_may_be_used_all_count(
    system: dict[str, str], monkeypatch: pytest.MonkeyPatch, said: int | None, vcpus: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: said)
    assert not system
    assert this_device("cpu").vcpus == vcpus


def test_what_the_firmware_and_the_kernel_call_a_machine(system: dict[str, str]) -> None:
    named = device._cpu_name.__wrapped__
    assert this_device("cpu").instance is None
    assert named()  # of what Python knows
    system["/proc/cpuinfo"] = "processor\t: 0\nmodel name\t: AMD  EPYC 9R14\nmodel name\t: another\n"
    assert named() == "AMD EPYC 9R14"
    system["/sys/class/dmi/id/sys_vendor"] = "Amazon EC2\n"
    for product, instance in (("m7g.large\n", "m7g.large"), ("\n", None)):
        system["/sys/class/dmi/id/product_name"] = product
        assert this_device("cpu").instance == instance
    system["/sys/class/dmi/id/sys_vendor"] = "Somebody else\n"
    system["/sys/class/dmi/id/product_name"] = "m7g.large\n"
    assert this_device("cpu").instance is None


@pytest.mark.parametrize(
    ("name", "watts"),
    [("AMD EPYC 9R14", 1.872), ("Intel(R) Xeon(R) Platinum 8488C", 3.642), ("Neoverse-N1", 1.693), ("Apple M4", 3.642)],
)
def test_a_cpus_power_is_named_after_what_it_is_assumed_to_be(name: str, watts: float) -> None:
    power = cpu_power_for(name)
    assert power.watts_per_vcpu == watts
    assert power.source
    assert power.date


def test_the_device_is_found_without_torch() -> None:
    program = "import sys; from centime.ledger.device import this_device; this_device(); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_an_unknown_kind_is_a_sentence() -> None:
    with pytest.raises(UserError, match="no device kind 'tpu'"):
        this_device("tpu")


class Driver:
    """As much of pynvml as finding a GPU uses: two GPUs, of which the second is 'GPU-22...'."""

    NVMLError = RuntimeError

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, function: str) -> Any:
        return {
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda index: SimpleNamespace(index=index),
            "nvmlDeviceGetName": lambda _: self.name.encode(),
            "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle.index + 1}{handle.index + 1}",
            "nvmlDeviceGetPowerManagementDefaultLimit": lambda _: 123_000,
        }[function]


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_a_gpu_is_preferred_and_takes_its_figures_from_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "nvml_library", lambda: Driver("NVIDIA H100 80GB HBM3"))
    gpu = this_device()
    assert (gpu.kind, gpu.name, gpu.count, gpu.vcpus) == ("gpu", "NVIDIA H100 80GB HBM3", 2, 0)
    assert (gpu.tdp_watts, gpu.tdp_source, gpu.peak_flops) == (700.0, "catalogue", 989e12)
    assert gpu.uuids == ("GPU-11", "GPU-22")
    assert this_device("cpu").kind == "cpu"
    assert this_device("cuda:0") == gpu


def test_a_gpu_that_the_catalogue_lacks_has_the_drivers_power_and_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "nvml_library", lambda: Driver("NVIDIA Unheard 9"))
    gpu = this_device("gpu")
    assert (gpu.tdp_watts, gpu.tdp_source, gpu.peak_flops) == (123.0, "driver", None)


def test_a_gpu_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "nvml_library", lambda: None)
    with pytest.raises(UserError, match="no NVIDIA GPU was found"):
        this_device("cuda")
    assert this_device().kind == "cpu"


@pytest.mark.parametrize(
    ("environment", "seen"),
    [
        ({}, [0, 1]),
        ({"CUDA_VISIBLE_DEVICES": "1,0"}, [1, 0]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-2"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "0,7,1"}, [0]),  # CUDA stops at the first that is none
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"LOCAL_RANK": "1"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "1,0", "LOCAL_RANK": "1"}, [0]),
    ],
)
def test_the_gpus_seen_are_those_that_cuda_shows(
    environment: dict[str, str], seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert [handle.index for handle in visible_gpus(Driver("x"))] == seen


@pytest.mark.parametrize(
    ("uuids", "part", "ids"),
    [
        ((), "", ()),
        ((), "cpu:0/2", ("cpu:0/2",)),
        (("GPU-1", "GPU-2"), "", ("GPU-1", "GPU-2")),
        (("GPU-1",), "x", ("GPU-1",)),
    ],
)
def test_what_tells_devices_apart_are_their_own_numbers_or_a_part_of_one(
    uuids: tuple[str, ...], part: str, ids: tuple[str, ...]
) -> None:
    made = Device("a chip", "gpu", 2, 0, None, "", None, uuids=uuids, part=part)
    assert made.ids == ids
    booked = begin_interval(("run", None), "train", "pretrain", made, devices=len(ids) or 1)
    assert booked.device_ids == " ".join(ids)
    more = begin_interval(("run", None), "train", "pretrain", made, devices=len(ids) + 1)
    assert more.device_ids == ""  # of a device more than has a number nobody knows which they are
