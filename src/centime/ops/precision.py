"""Which number format a processor multiplies at full speed."""

from __future__ import annotations

import torch
from torch import Tensor


def native_bf16(device: torch.device) -> bool:
    """Whether the processor has bf16 products; torch tells it of CPUs by functions that not every version has.

    Where it has none they are emulated: a hundred times slower than float32 on an AVX2 processor (docs/log.md).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in known)


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """'bf16', 'fp32', or 'auto': bf16 where the processor multiplies it natively, elsewhere it would be slower."""
    if precision == "auto":
        precision = "bf16" if native_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def emulated(x: Tensor) -> bool:
    """Whether products of x's 16-bit type are emulated on its processor, so that float32's are faster."""
    return x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16) and not native_bf16(x.device)
