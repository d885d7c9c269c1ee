"""The same bits every time: torch's deterministic algorithms for the length of a run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """While open, sums that several threads or blocks add to are added in a fixed order, if `wanted`.

    Where an operation has no such form, torch warns and goes on. New tensors are not filled, which would cost time and
    only shows reads of uninitialised memory. cuBLAS reads its workspace's size at the first GEMM: open this before it.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    switches: Any = torch.utils.deterministic
    filled = switches.fill_uninitialized_memory
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # NVIDIA: cuBLAS, "Results reproducibility"
        os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    _set(wanted, warn_only=True)
    switches.fill_uninitialized_memory = False
    try:
        yield
    finally:
        _set(before[0], warn_only=before[1])
        switches.fill_uninitialized_memory = filled


def _set(mode: bool, *, warn_only: bool) -> None:
    """torch.use_deterministic_algorithms, which imports PyTorch's compiler, for seconds, to set that too.

    A compiler that is imported later reads the environment.
    """
    if "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)
    else:
        torch._C._set_deterministic_algorithms(mode, warn_only=warn_only)
