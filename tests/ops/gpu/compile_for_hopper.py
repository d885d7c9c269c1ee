"""Compiles each kernel for a Hopper GPU at DeepSeek-V3's sizes; prints its name and what it multiplies with."""

from __future__ import annotations

from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from centime.ops.gpu import fp8, grouped, latent_attention, latent_entry, router, swiglu

BF16, F32, E4M3, INT, LONG = "*bf16", "*fp32", "*fp8e4nv", "i32", "*i64"
TILE = {"ROWS": 64, "OUTPUTS": 128}
ROUTER = {"GROUPS": 8, "IN_GROUP": 32, "CHOSEN": 8, "SOFTMAX": False, "BIASED": True, "BEST": 2, "NORMALISE": True}
KERNELS: list[tuple[Any, list[str], dict[str, Any]]] = [
    (fp8._quantise_rows, [BF16, E4M3, F32, *[INT] * 3], {"LARGEST": 448.0, "BLOCK": 128}),
    (fp8._fp8_linear, [E4M3, F32, E4M3, F32, BF16, *[INT] * 7], {**TILE, "BLOCK": 128}),
    (grouped._grouped_linear, [BF16, LONG, BF16, BF16, "*i32", *[INT] * 7], {**TILE, "INPUTS": 64}),
    (grouped._grouped_fp8_linear, [E4M3, F32, LONG, E4M3, F32, BF16, "*i32", *[INT] * 9], {**TILE, "BLOCK": 128}),
    (grouped._grouped_outer, [BF16, BF16, LONG, BF16, LONG, LONG, *[INT] * 4], {**TILE, "INPUTS": 128}),
    (swiglu._forward, [BF16, F32, BF16, INT], {"WIDTH": 1024}),
    (swiglu._backward, [BF16, BF16, F32, BF16, F32, INT], {"WIDTH": 1024}),
    (
        latent_attention._part,
        [BF16, BF16, LONG, LONG, F32, F32, "fp32", *[INT] * 7],
        {"HEADS": 16, "ENTRIES": 32, "LATENT": 512, "ROTATED": 64},
    ),
    (latent_attention._weighed, [F32, F32, BF16, INT, INT], {"PARTS": 8, "LATENT": 512}),
    (router._route, [F32, F32, LONG, F32, F32, *[INT] * 4, "fp32"], ROUTER),
    (latent_entry._write_entries, [BF16, BF16, F32, F32, BF16, LONG, "fp32", *[INT] * 6], {"LATENT": 512, "HALF": 32}),
]

for kernel, types, constants in KERNELS:
    given = iter(types)
    signature = {name: "constexpr" if name in constants else next(given) for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8, "num_stages": 4})
    print(kernel.__name__, "wgmma" if "wgmma" in compiled.asm["ptx"] else "", sep=" ")
