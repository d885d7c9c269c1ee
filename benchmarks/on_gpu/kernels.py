"""Kernels as shares of what the GPU's own library, or its memory, gives in the same run."""

from __future__ import annotations

import torch

from centime.ops.fp8 import quantize_blocks
from centime.ops.gpu.fp8 import fp8_linear, quantise_rows
from centime.ops.gpu.grouped import grouped_fp8_linear, grouped_linear, plan_tiles
from centime.ops.gpu.latent_attention import paged_latent_attention
from centime.ops.latent.past import Past
from on_gpu.timing import clock

V2_LITE = {"D": 2048, "F": 1408, "E": 64, "K": 6}  # DeepSeek-V2-Lite's experts


def kernels(device: str, gemm: float, read: float) -> dict[str, float]:
    """Shares of the dense bf16 rate `gemm` (FLOP/s) and of the plain read `read` (bytes/s)."""
    return {
        **_grouped(device, gemm),
        "fp8_gemm_over_bf16_gemm": _fp8(device, gemm),
        "latent_attention_share_of_read": _latent_attention(device, read),
    }


def _grouped(device: str, gemm: float) -> dict[str, float]:
    T, (D, F, E, K) = 8192, V2_LITE.values()
    ids = torch.rand(T, E, device=device).topk(K, -1).indices
    plan, x = plan_tiles(ids, E), torch.randn(T, D, device=device, dtype=torch.bfloat16)
    token_P = torch.where(plan.pair_P >= 0, plan.pair_P // K, -1)
    weight = torch.randn(E, 2 * F, D, device=device, dtype=torch.bfloat16) * D**-0.5
    flops = 2 * T * K * D * 2 * F
    plain = flops / clock(lambda: grouped_linear(x, token_P, weight, plan), device, 20)
    blocks, rows = quantize_blocks(weight), quantise_rows(x)
    eight = flops / clock(lambda: grouped_fp8_linear(*rows, token_P, blocks, plan, torch.bfloat16), device, 20)
    return {"grouped_gemm_share_of_gemm": plain / gemm, "grouped_fp8_gemm_over_bf16_gemm": eight / gemm}


def _fp8(device: str, gemm: float) -> float:
    size = 4096
    rows = quantise_rows(torch.randn(size, size, device=device, dtype=torch.bfloat16))
    weight = quantize_blocks(torch.randn(size, size, device=device))
    return 2 * size**3 / clock(lambda: fp8_linear(*rows, *weight, torch.bfloat16), device, 20) / gemm


def _latent_attention(device: str, read: float) -> float:
    """64 queries of 16 heads over 8,192 entries of 576 numbers each."""
    N, H, L, R, page, length = 64, 16, 512, 64, 64, 8192
    blocks = length // page
    stored = torch.randn(N * length, L + R, device=device, dtype=torch.bfloat16)
    tables = torch.randperm(N * blocks, device=device).view(N, blocks)
    lengths = torch.full((N,), length, device=device)
    past = Past(stored, page, tables, lengths, tuple)
    q = torch.randn(N, H, L + R, device=device, dtype=torch.bfloat16)
    seconds = clock(lambda: paged_latent_attention(q, past, 0.07, L), device, 20)
    return stored.nbytes / seconds / read
