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


def measured_peak(device: torch.device, dtype: torch.dtype, largest: int = 2048, seconds: float = 0.25) -> float:
    """FLOP/s of the best of a few square GEMMs in `dtype`; takes about `seconds`.

    They are of `largest`, or where that takes too long (a processor that emulates bf16 would need half a minute for
    one) of the largest that a few fit in.
    """
    size, taken = 256, _product_s(device, dtype, 256, seconds / 8)
    while size < largest and 16 * taken < seconds:  # the next one takes eight times as long
        size *= 2
        taken = _product_s(device, dtype, size, seconds / 8)
    return 2 * size**3 / min(taken, _product_s(device, dtype, size, seconds))


def _product_s(device: torch.device, dtype: torch.dtype, size: int, seconds: float) -> float:
    """Seconds of the fastest product of two square matrices in about `seconds`."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    torch.mm(a[:8], b)  # prepares the library
    best, end = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < end:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
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
