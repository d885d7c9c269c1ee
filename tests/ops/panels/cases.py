"""What the tests of the kernels are drawn from, and how near their results have to be."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from centime.native.library import library
from centime.ops.quantised import Quantised
from centime.ops.quantised.matrix import in_bytes

found = library()
LEVELS = ("amx", "avx512_bf16", "avx512_vnni", "avx512", "avx2", "portable")
ALL = [name for name in LEVELS if found is not None and found.choose(name)]
if found is not None:
    found.choose(ALL[0])
even = st.integers(1, 40).map(lambda n: 2 * n)
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return (torch.randn(*shape) * scale).bfloat16()


def assert_near(fast: torch.Tensor, exact: torch.Tensor, parts: float = 128.0) -> None:
    """Within so many parts of the largest number: bf16 keeps 256 of them."""
    assert fast.shape == exact.shape
    bound = max(exact.abs().max().item(), 1e-3) / parts if exact.numel() else 0.0
    assert (fast.float() - exact.float()).abs().max().item() <= bound if exact.numel() else True


def whole_numbers(bits: int, *shape: int) -> tuple[Quantised, torch.Tensor]:
    """Numbers of so many bits with scales, and what they stand for in float32."""
    most, groups = 2 ** (bits - 1), -(-shape[-1] // 32)
    codes = torch.randint(-most, most, shape, dtype=torch.int8)
    scales = (torch.randn(*shape[:-1], groups) / most / shape[-1] ** 0.5).half()
    stored = codes if bits == 8 else in_bytes((codes + 8).view(torch.uint8))
    matrix = Quantised(stored, scales, f"int{bits}", shape[-1])
    return matrix, matrix.dense(torch.float32)


def fp8_numbers(block: int, *shape: int) -> tuple[Quantised, torch.Tensor]:
    """e4m3 numbers of every kind, those near nothing too, and what they stand for in float32."""
    *stack, outputs, inputs = shape
    codes = torch.randint(0, 256, shape, dtype=torch.uint8)
    codes[codes % 128 == 127] = 8
    scales = torch.randn(*stack, -(-outputs // block), -(-inputs // block)) / 256 / inputs**0.5
    matrix = Quantised(codes.view(torch.float8_e4m3fn), scales, "fp8", inputs, block)
    return matrix, matrix.dense(torch.float32)
