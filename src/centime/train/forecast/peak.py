"""The yardstick of MFU on a device that nobody publishes a peak for: its own matrix product, measured once.

It is kept in $CENTIME_HOME/peaks.json, one for each device, number of threads and type, so that runs and their resumes
are measured by one yardstick. A `centime calibrate` profile of the device goes before it.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress

import torch

from centime.catalogue.home import centime_home
from centime.errors import UserError
from centime.files.durable import write_text
from centime.json_files import read_object
from centime.ledger.device import Device

FILE = "peaks.json"


def kept_peak(metered: Device, device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of this machine's best product, as it was measured first; measured now, and kept, where it was not."""
    found = _kept().get(_key(metered, dtype))
    if isinstance(found, (int, float)) and 0 < found < math.inf:
        return float(found)
    return raise_peak(metered, dtype, measured_peak(device, dtype))


def raise_peak(metered: Device, dtype: torch.dtype, flops_per_s: float) -> float:
    """Keeps a peak that is higher than the one before it; a home that cannot be written keeps nothing."""
    peaks = _kept()
    before = peaks.get(_key(metered, dtype))
    peak = max(flops_per_s, float(before) if isinstance(before, (int, float)) and before < math.inf else 0.0)
    peaks[_key(metered, dtype)] = peak
    with suppress(OSError):
        centime_home().mkdir(parents=True, exist_ok=True)
        write_text(centime_home() / FILE, json.dumps(peaks, indent=1) + "\n")
    return peak


def measured_peak(device: torch.device, dtype: torch.dtype, size: int = 2048, seconds: float = 0.25) -> float:
    """FLOP/s of the best of a few square GEMMs of `size` in `dtype`; takes about `seconds`."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _kept() -> dict[str, object]:
    """What is kept; a file that is damaged is as good as none: it is measured and written anew."""
    try:
        return read_object(centime_home() / FILE)
    except UserError:
        return {}


def _key(metered: Device, dtype: torch.dtype) -> str:
    threads = torch.get_num_threads() if metered.kind == "cpu" else 1
    return f"{metered.name}, {threads} threads, {str(dtype).removeprefix('torch.')}"
