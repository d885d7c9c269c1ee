"""The machine and the copy of centime on it: devices and what they compute in, threads, price, room on the disks."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from centime.catalogue.home import centime_home
from centime.doctor.finding import ABSENT, BROKEN, OK, WARN, Finding
from centime.installation import has_torch, installation
from centime.units import format_bytes, plural
from centime.version import version

LITTLE_BYTES = 2 * 2**30  # less free than this does not hold a quickstart, its checkpoints and torch's own files
TORCH_SECONDS = 120.0
DRIVER = Path("/proc/driver/nvidia/version")  # there where NVIDIA's driver is loaded

# What torch says of devices, asked in a process of its own: a driver that hangs or crashes ends that one alone.
_PROGRAM = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
gpus = [torch.cuda.get_device_properties(i) for i in range(count)]
print(json.dumps({
    "gpus": [{"name": g.name, "bytes": g.total_memory, "capability": [g.major, g.minor]} for g in gpus],
    "mps": torch.backends.mps.is_available(),
    "cuda_build": torch.version.cuda,
    "threads": torch.get_num_threads(),
    "cpu": torch.backends.cpu.get_cpu_capability(),
}))
"""


def centime() -> Finding:
    """Its version, and how it was installed."""
    where = installation()
    return Finding("centime", OK, f"{version()}, {where}", "", {"version": version(), "kind": where.kind})


def system() -> Finding:
    """The operating system, and what centime makes of it."""
    name = f"{platform.system()} {platform.release()} ({platform.machine()})"
    values = {"system": platform.system(), "release": platform.release(), "machine": platform.machine()}
    if sys.platform == "linux":
        return Finding("system", OK, name + (", WSL" if "microsoft" in platform.release().lower() else ""), "", values)
    if sys.platform == "darwin":
        return Finding("system", WARN, name, "macOS runs on the CPU; the GPU (MPS) is not used", values)
    return Finding("system", WARN, name, "not supported: use Linux, or WSL on Windows", values)


def python() -> Finding:
    """The interpreter."""
    return Finding("python", OK, f"{platform.python_version()} at {sys.executable}", "", {"executable": sys.executable})


def devices() -> list[Finding]:
    """The processor, the GPUs, what they compute in, and the threads of torch."""
    from centime.ledger.device import this_device

    cpu = this_device("cpu")
    found = [
        Finding("processor", OK, f"{cpu.name}, {plural(cpu.vcpus, 'vCPU')}", "", {"name": cpu.name, "vcpus": cpu.vcpus})
    ]
    if not has_torch():
        return [*found, Finding("devices", ABSENT, "torch, which would say more of them, is not installed")]
    facts = _torch_facts()
    if facts is None:
        return [*found, Finding("devices", BROKEN, "torch does not say; see torch above")]
    gpus = facts["gpus"]
    if gpus:
        names = ", ".join(f"{gpu['name']} ({format_bytes(gpu['bytes'])})" for gpu in gpus)
        found.append(Finding("gpu", OK, names, "", {"gpus": gpus}))
    elif DRIVER.exists() and facts["cuda_build"] is None:
        todo = "torch is a build without CUDA; install one with it (https://pytorch.org/get-started)"
        found.append(Finding("gpu", WARN, "there is an NVIDIA driver, and torch does not use it", todo, {"gpus": []}))
    else:
        also = "; Apple's MPS is not used" if facts["mps"] else ""
        found.append(Finding("gpu", ABSENT, f"none: everything runs on the CPU{also}", "", {"gpus": []}))
    fp8 = bool(gpus) and min(tuple(gpu["capability"]) for gpu in gpus) >= (8, 9)
    precision = f"{facts['cpu']} on the processor" + (
        "; bf16, fp8 on the GPU" if fp8 else "; bf16 on the GPU" if gpus else ""
    )
    found.append(Finding("precision", OK, precision, "", {"cpu": facts["cpu"], "fp8": fp8}))
    return [*found, _threads(facts["threads"], cpu.vcpus)]


def _threads(threads: int, vcpus: int) -> Finding:
    load = os.getloadavg()[0]
    stated = os.environ.get("OMP_NUM_THREADS")
    set_by = f" (OMP_NUM_THREADS={stated})" if stated else ""
    found = f"torch uses {threads} of {plural(vcpus, 'vCPU')}{set_by}; load {load:.1f}"
    values = {"threads": threads, "load": load, "OMP_NUM_THREADS": stated}
    if load > vcpus:
        return Finding("threads", WARN, found, "other programs are busy: times and forecasts will be longer", values)
    return Finding("threads", OK, found, "", values)


def price() -> Finding:
    """What an hour of this machine is priced at, and how old that is."""
    from centime.catalogue.prices import ask_for_price, price_for
    from centime.ledger.device import this_device

    device = this_device()
    found = price_for(device)
    if found is None:
        return Finding("price", WARN, ask_for_price(device), "give yours with --price", {"per_hour": None})
    values = {
        "per_hour": found.per_device_hour,
        "currency": found.currency,
        "date": found.date,
        "age_days": found.age_days(),
    }
    return Finding(
        "price", WARN if found.stale() else OK, str(found), "give yours with --price" if found.stale() else "", values
    )


def disks() -> list[Finding]:
    """Room where one stands, and where centime keeps its own files."""
    found = []
    for name, path in (("disk", Path.cwd()), ("disk of CENTIME_HOME", _nearest(centime_home()))):
        free = shutil.disk_usage(path).free
        state, todo = (OK, "") if free >= LITTLE_BYTES else (WARN, "free some space")
        found.append(
            Finding(name, state, f"{format_bytes(free)} free at {path}", todo, {"path": str(path), "bytes": free})
        )
    return found


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def _torch_facts() -> dict[str, Any] | None:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=TORCH_SECONDS, check=False
        )
        facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError):
        return None
    return facts
