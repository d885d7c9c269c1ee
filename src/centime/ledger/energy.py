"""Joules: from the GPU's own counter (NVML), from the processor's (RAPL), else estimated from power at full load.

A counter counts the whole device, whoever uses it: RAPL's package counter includes the other processes of the
machine, and its memory is outside it. What the machine around a GPU draws is in no figure here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from centime.ledger.device import Device, nvml_library, visible_gpus

POWERCAP = Path("/sys/class/powercap")


class EnergyCounter:
    """Microjoules of `devices` devices; differences of its readings are what was used between them.

    `source` is 'nvml' or 'rapl' (measured), 'tdp' (estimated: watts at full load x time) or 'none'.
    """

    def __init__(self, device: Device, devices: int, powercap: Path = POWERCAP) -> None:
        self._read = _nvml(devices) if device.kind == "gpu" else _rapl(powercap)
        self._watts = (device.tdp_watts or 0.0) * devices
        self.source = (
            ("nvml" if device.kind == "gpu" else "rapl") if self._read else ("tdp" if device.tdp_watts else "none")
        )

    def microjoules(self, now_ns: int) -> int:
        """The counter's reading, or watts x the monotonic clock. A counter that stops answering keeps its last word."""
        return self._read() if self._read is not None else round(self._watts * now_ns / 1000)


def _nvml(devices: int) -> Callable[[], int] | None:
    """Reads the first `devices` GPUs' own counters: millijoules since the driver loaded (Volta and later)."""
    nvml = nvml_library()
    if nvml is None:
        return None
    handles = visible_gpus(nvml)[:devices]
    if len(handles) < devices:  # ranks elsewhere: their own processes read theirs
        return None

    def total() -> int:
        return sum(int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in handles)

    try:
        first = total()
    except nvml.NVMLError:
        return None
    last = 0

    def since() -> int:
        nonlocal last
        with suppress(nvml.NVMLError):
            last = max(last, (total() - first) * 1000)
        return last

    return since


def _rapl(powercap: Path) -> Callable[[], int] | None:
    """Sums the package domains (intel-rapl:N, on AMD too) and undoes the counters' wrap-around; under torchrun, this
    rank's equal share of it.

    None where they cannot be read: since Linux 5.10 only root may, by default.
    """
    domains = [path for path in sorted(powercap.glob("intel-rapl:*")) if path.name.count(":") == 1]
    counters: list[tuple[Path, int]] = []
    before: list[int] = []
    try:
        for domain in domains:
            if (domain / "name").read_text().startswith("package"):
                counters.append((domain / "energy_uj", int((domain / "max_energy_range_uj").read_text())))
                before.append(int((domain / "energy_uj").read_text()))
    except (OSError, ValueError):
        return None
    if not counters:
        return None
    used, ranks = 0, int(os.environ.get("LOCAL_WORLD_SIZE") or 1)

    def since() -> int:
        nonlocal used
        for index, (path, span) in enumerate(counters):
            with suppress(OSError, ValueError):
                now = int(path.read_text())
                used += (now - before[index]) % (span + 1)
                before[index] = now
        return used // ranks

    return since
