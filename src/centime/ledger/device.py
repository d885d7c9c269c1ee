"""The device that a verb uses: its name, how much of it, its power and its peak. Never imports torch.

One *device* is what one price per hour is for:
- a GPU: one GPU;
- a CPU: the part of this machine that the process may use, as a number of vCPUs (the scheduler's affinity and the
  container's quota; under torchrun on a CPU, this rank's equal share). A device-hour of a 2-vCPU machine is one
  hour on both vCPUs, and costs two vCPU-hours.
"""

from __future__ import annotations

import functools
import math
import os
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from centime.catalogue.chips import chip_for, cpu_power_for
from centime.errors import UserError


@dataclass(frozen=True)
class Device:
    """One device (see the module's text), and how many of it are here."""

    name: str  # as the processor or its driver says
    kind: str  # 'cpu' or 'gpu'
    count: int  # devices of this kind that the process may use
    vcpus: int  # vCPUs in one device; 0 for a GPU
    tdp_watts: float | None  # of one device at full load
    tdp_source: str  # 'catalogue', 'driver' or 'assumed as ...'; '' where tdp_watts is None
    peak_flops: float | None  # dense bf16 FLOP/s of one device; None where nobody published it (CPUs: measure it)
    instance: str | None = None  # the cloud's instance type, where the machine says so
    uuids: tuple[str, ...] = field(default=())  # of the GPUs, in the order that the process sees them
    part: str = ""  # of this machine's CPU: 'cpu', or a rank's share of it, such as 'cpu:0/2'; '' for a GPU
    counters: str | None = None  # of this machine, that count its energy: 'gpu', 'cpu', '' for none; None: of its kind

    @property
    def key(self) -> str:
        """'kind:name'. Of a process's meters with one key the innermost alone books."""
        return f"{self.kind}:{self.name}"

    @property
    def ids(self) -> tuple[str, ...]:
        """What tells these devices from others on this machine; empty where nobody knows."""
        return self.uuids or ((self.part,) if self.part else ())

    def __str__(self) -> str:
        return f"{self.name} ({self.vcpus} vCPU)" if self.kind == "cpu" else self.name


def this_device(kind: str | None = None) -> Device:
    """The device of this process: a GPU where NVIDIA's driver shows one, else the CPU.

    kind: 'cpu' or 'gpu' ('cuda' is the same) to ask for one of them.
    Raises UserError for another kind, or when a GPU is asked for and none is found.
    """
    wanted = {"cuda": "gpu"}.get(kind.split(":")[0], kind) if kind else None
    if wanted not in {None, "cpu", "gpu"}:
        raise UserError(f"there is no device kind {kind!r}; use 'cpu' or 'cuda'.")
    if wanted != "cpu":
        gpu = _gpu()
        if gpu is not None:
            return gpu
        if wanted == "gpu":
            raise UserError("no NVIDIA GPU was found (its driver did not answer); use the CPU, or check nvidia-smi.")
    return _cpu()


def _cpu() -> Device:
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    vcpus = max(1, _usable_vcpus() // ranks)
    name = _cpu_name()
    power = cpu_power_for(name)
    return Device(
        name=name,
        kind="cpu",
        count=1,
        vcpus=vcpus,
        tdp_watts=power.watts_per_vcpu * vcpus,
        tdp_source=f"assumed as {power.architecture}, {power.watts_per_vcpu:g} W per vCPU at full load ({power.date})",
        peak_flops=None,
        instance=_instance(),
        part="cpu" if ranks == 1 else f"cpu:{os.environ.get('LOCAL_RANK') or 0}/{ranks}",
    )


def _usable_vcpus() -> int:
    """Logical processors this process may run on, no more than its control group's quota, at least one."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        count = os.cpu_count() or 1
    for quota in _quotas():
        count = min(count, max(1, math.ceil(quota)))
    return count


def _quotas() -> list[float]:
    """CPU quotas of the control groups, in processors (cgroup v2, then v1)."""
    found = []
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if limit != "max":
            found.append(int(limit) / int(period))
    except (OSError, ValueError):
        pass
    try:
        limit_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        if limit_us > 0:
            found.append(limit_us / int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()))
    except (OSError, ValueError):
        pass
    return found


@functools.cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "CPU"


def _instance() -> str | None:
    """The instance type that the firmware of an EC2 machine names, such as 'm7g.large'."""
    try:
        if "Amazon" not in Path("/sys/class/dmi/id/sys_vendor").read_text():
            return None
        return Path("/sys/class/dmi/id/product_name").read_text().strip() or None
    except OSError:
        return None


def _gpu() -> Device | None:
    """The first visible NVIDIA GPU, or None without its driver or Python binding."""
    nvml = nvml_library()
    if nvml is None:
        return None
    handles = visible_gpus(nvml)
    if not handles:
        return None
    name = _text(nvml.nvmlDeviceGetName(handles[0]))
    chip = chip_for(name)
    watts, source = (chip.tdp_watts, "catalogue") if chip and chip.tdp_watts else (None, "")
    if watts is None:
        with suppress(nvml.NVMLError):
            watts, source = nvml.nvmlDeviceGetPowerManagementDefaultLimit(handles[0]) / 1000, "driver"
    return Device(
        name=name,
        kind="gpu",
        count=len(handles),
        vcpus=0,
        tdp_watts=watts,
        tdp_source=source,
        peak_flops=chip.bf16_tflops * 1e12 if chip and chip.bf16_tflops else None,
        uuids=tuple(_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles),
    )


@functools.cache
def nvml_library() -> Any:
    """pynvml, initialised; None without it (the `gpu` extra) or without a driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def visible_gpus(nvml: Any) -> list[Any]:
    """NVML handles of the GPUs that CUDA would show this process, in CUDA_VISIBLE_DEVICES' order; this rank's alone
    under torchrun (LOCAL_RANK)."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        chosen = []
        for word in (word.strip() for word in listed.split(",")):
            matching = [handle for index, handle in enumerate(handles) if _is_named(word, index, handle, nvml)]
            if not matching:  # CUDA too stops at the first entry that names no device
                break
            chosen.append(matching[0])
        handles = chosen
    rank = os.environ.get("LOCAL_RANK")
    if rank is not None and handles:
        return [handles[int(rank) % len(handles)]]
    return handles


def _is_named(word: str, index: int, handle: Any, nvml: Any) -> bool:
    """Whether an entry of CUDA_VISIBLE_DEVICES, an index or the beginning of a UUID, means this GPU."""
    return word == str(index) or (word.startswith("GPU-") and _text(nvml.nvmlDeviceGetUUID(handle)).startswith(word))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
