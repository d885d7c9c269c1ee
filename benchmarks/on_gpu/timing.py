"""Medians of calls on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def clock(call: Callable[[], object], device: str, times: int) -> float:
    """Median seconds of one call, after three that are not counted."""
    taken = []
    for i in range(times + 3):
        _synchronize(device)
        start = time.perf_counter()
        call()
        _synchronize(device)
        if i >= 3:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def gemm_rate(device: str, size: int) -> float:
    """FLOP/s of the library's own product of two square bf16 matrices."""
    matrix = torch.randn(size, size, device=device).to(torch.bfloat16)
    return 2 * size**3 / clock(lambda: matrix @ matrix, device, 20)


def read_rate(device: str, count: int) -> float:
    """Bytes/s of a plain read of so many bytes, by a sum that is bound by it."""
    numbers = torch.ones(count // 4, dtype=torch.float32, device=device)
    return count / clock(numbers.sum, device, 10)


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
