"""The yardstick of MFU on a device that nobody publishes a peak for: its own matrix product, measured."""

from __future__ import annotations

import time

import torch


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
