"""Which tensors our own kernels take."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from centime.native.library import OFF, Library, library


def kernels_for(x: Tensor) -> Library | None:
    """The kernels, where there are some for x: bf16 on a processor, and no gradients are asked for."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or torch.is_grad_enabled():
        return None
    return library()


# Kinds of kernels whose float32 products were found to be faster than PyTorch's; on others nobody has measured them.
FLOAT_KERNELS = ("avx2",)


def float_kernels_for(*all_of: Tensor) -> Library | None:
    """The kernels of training, where there are some for these: float32 on a processor. They share PyTorch's threads.

    What is compiled has PyTorch's operations: its compiler does not see through a call of ours.
    """
    if torch.compiler.is_compiling():
        return None
    for one in all_of:
        if one.dtype != torch.float32 or one.device.type != "cpu" or type(one) not in (Tensor, torch.nn.Parameter):
            return None
    found = library()
    if found is None or found.kernels not in FLOAT_KERNELS:
        return None
    found.use_threads(torch.get_num_threads())
    return found


def on_gpu(x: Tensor) -> bool:
    """Whether x is what our Triton kernels take: on an NVIDIA GPU where Triton works (CENTIME_NATIVE=0: never)."""
    return x.is_cuda and _triton(x.device)


def fp8_on_gpu(x: Tensor) -> bool:
    """Whether the GPU that x is on multiplies e4m3 numbers: Ada (8.9), Hopper and later ones."""
    return on_gpu(x) and torch.cuda.get_device_capability(x.device) >= (8, 9)


@cache
def _triton(device: torch.device) -> bool:
    if os.environ.get(OFF) == "0" or torch.version.cuda is None or find_spec("triton") is None:
        return False
    from centime.ops.gpu.probe import works

    return works(device)
