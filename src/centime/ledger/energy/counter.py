"""Joules: from the GPU's own counter (NVML), from the processor's (RAPL), else estimated from power at full load.

A counter counts the whole device, whoever uses it: RAPL's package counter includes the other processes of the
machine, and its memory is outside it. What the machine around a GPU draws is in no figure here. A counter that does not
answer for a while tells afterwards what it counted meanwhile; one that is gone for good is estimated from then on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from centime.ledger.device import Device, nvml_library, visible_gpus

POWERCAP = Path("/sys/class/powercap")
VARIABLE = "CENTIME_POWERCAP"  # where a container sees the host's folder of that name
LOST_NS = 10 * 10**9  # a counter that has been silent for so long is gone


class NoCounter(Exception):
    """There is none to be read, and why: a clause."""


class EnergyCounter:
    """Microjoules of `devices` devices; differences of its readings are what was used between them.

    `source` is 'nvml' or 'rapl' (measured), 'tdp' (estimated: watts at full load x time) or 'none'; it changes where a
    counter is lost. `note` says why nothing is measured, in a clause; '' where it is.
    """

    def __init__(self, device: Device, devices: int, powercap: Path | None = None) -> None:
        self._watts = (device.tdp_watts or 0.0) * devices
        self._unmeasured = "tdp" if device.tdp_watts else "none"
        self._read: Callable[[], int] | None = None
        self._last_uj, self._last_ns = 0, 0
        self._begun = False
        self.note = ""
        counters = device.kind if device.counters is None else device.counters
        try:
            if not counters:
                raise NoCounter("it is not known to run on this machine")
            self._read = _nvml(devices) if counters == "gpu" else _rapl(powercap or powercap_folder())
        except NoCounter as reason:
            self.note = str(reason)
        measured = "nvml" if counters == "gpu" else "rapl"
        self.source = measured if self._read is not None else self._unmeasured

    def microjoules(self, now_ns: int) -> int:
        """The counter's reading at a moment of the monotonic clock, or watts x that clock. Never falls."""
        if self._read is None:
            return self._last_uj + round(self._watts * (now_ns - self._last_ns) / 1000)
        try:
            self._last_uj, self._last_ns, self._begun = max(self._last_uj, self._read()), now_ns, True
        except NoCounter as reason:
            if not self._begun:
                self._last_ns, self._begun = now_ns, True
            if now_ns - self._last_ns > LOST_NS:
                self._read, self.source, self.note = None, self._unmeasured, f"{reason}, and was lost"
                return self.microjoules(now_ns)
        return self._last_uj


def powercap_folder() -> Path:
    """$CENTIME_POWERCAP, else the kernel's own."""
    return Path(os.environ.get(VARIABLE) or POWERCAP)


def _nvml(devices: int) -> Callable[[], int]:
    """Reads the first `devices` GPUs' own counters: millijoules since the driver loaded (Volta and later).

    Raises NoCounter, as what it returns does.
    """
    nvml = nvml_library()
    if nvml is None:
        raise NoCounter("NVIDIA's driver cannot be asked (its library or the extra `gpu` is missing)")
    handles = visible_gpus(nvml)[:devices]
    if len(handles) < devices:  # ranks elsewhere: their own processes read theirs
        raise NoCounter(f"this process sees {len(handles)} of {devices} GPUs")

    def total() -> int:
        try:
            return sum(int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in handles)
        except nvml.NVMLError as error:
            raise NoCounter(f"the GPU's energy counter does not answer ({error})") from None

    first = total()
    return lambda: (total() - first) * 1000


def _rapl(powercap: Path) -> Callable[[], int]:
    """Sums the package domains (intel-rapl:N, on AMD too) and undoes the counters' wrap-around; under torchrun, this
    rank's equal share of it.

    Raises NoCounter where they cannot be read (since Linux 5.10 only root may, by default), as what it returns does.
    """
    domains = [path for path in sorted(powercap.glob("intel-rapl:*")) if path.name.count(":") == 1]
    packages = [domain for domain in domains if _text(domain / "name").startswith("package")]
    if not packages:
        raise NoCounter(f"the kernel shows no energy counter of the processor under {powercap}")
    spans = [_number(package / "max_energy_range_uj") for package in packages]
    before = [_number(package / "energy_uj") for package in packages]
    used, ranks = 0, int(os.environ.get("LOCAL_WORLD_SIZE") or 1)

    def since() -> int:
        nonlocal used
        readings = [_number(package / "energy_uj") for package in packages]  # all of them, or nothing is taken
        for index, (now, span) in enumerate(zip(readings, spans, strict=True)):
            used += (now - before[index]) % (span + 1)
        before[:] = readings
        return used // ranks

    return since


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except PermissionError:
        raise NoCounter(f"{path} may be read by root alone (chmod a+r lets others)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NoCounter(f"{path} cannot be read ({error})") from None


def _number(path: Path) -> int:
    text = _text(path)
    try:
        return int(text)
    except ValueError:
        raise NoCounter(f"{path} holds {text.strip()[:40]!r}, which is no count of microjoules") from None
