"""Whether Triton works here: it compiles at run time, for which it wants a C compiler and a driver that it knows."""

from __future__ import annotations

import sys

import torch
import triton
import triton.language as tl


def works(device: torch.device) -> bool:
    """Whether a kernel of one addition comes out right; where not, one line says why and what is lost."""
    try:
        numbers = torch.arange(8.0, device=device)
        _add_one[(1,)](numbers, 8)
        if numbers.tolist() == [float(n) for n in range(1, 9)]:
            return True
        reason = "it computes wrong numbers"
    except Exception as error:  # of Triton, of the C compiler that it starts, of the driver
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    print(f"centime: no Triton kernels on this GPU, PyTorch's own are used, slower: {reason}", file=sys.stderr)
    return False


@triton.jit
def _add_one(numbers, COUNT: tl.constexpr):
    place = tl.arange(0, COUNT)
    tl.store(numbers + place, tl.load(numbers + place) + 1)
