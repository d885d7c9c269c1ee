"""What needs a GPU, in one script: every fast path against its reference there, then steps as shares of the roofline.

usage: python benchmarks/gpu.py [--json] [--device cuda|cpu] [--depths 4,8,12] [--steps 10]

Correctness comes first: if any operation strays from its float32 reference, nothing is timed and the exit code is 1.
Needs torch and what `centime` itself needs; `PYTHONPATH=src` is enough, no installation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from centime.catalogue.presets import preset
from centime.model import Transformer
from centime.ops.attention import causal_attention, causal_attention_reference
from centime.ops.cross_entropy import linear_cross_entropy, linear_cross_entropy_reference
from centime.ops.routed_experts import routed_experts, routed_experts_reference
from centime.plan.counts import count
from centime.recipe import Optimizer
from centime.serve.kv_cache.paged_cache import Pages, StepCache, TokenSpan
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings

SEQUENCE, SEQUENCES = 1024, 8
WITHIN = {torch.float32: 1e-3, torch.bfloat16: 2e-2}  # norm of the difference over the norm of the reference


def distance(
    fast: Callable[..., Tensor], reference: Callable[..., Tensor], leaves: list[Tensor], dtype: torch.dtype
) -> float:
    """Largest relative distance of output and gradients: `fast` in `dtype` from `reference` in float32."""

    def outcome(call: Callable[..., Tensor], kind: torch.dtype) -> list[Tensor]:
        inputs = [leaf.detach().to(kind).requires_grad_() for leaf in leaves]
        out = call(*inputs)
        seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.device, out.dtype)
        return [out.detach(), *torch.autograd.grad(out, inputs, seed)]

    pairs = zip(outcome(fast, dtype), outcome(reference, torch.float32), strict=True)
    return max(float((a.float() - b).norm() / (b.norm() + 1e-12)) for a, b in pairs)


def operations(device: str) -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]]:
    """name -> (fast, reference, float32 inputs), at DeepSeek's unequal head sizes and uneven expert loads."""
    draw = torch.Generator().manual_seed(0)

    def randn(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=draw) * scale).to(device)

    T, D, F, E, K, V = 300, 256, 128, 16, 4, 1000
    ids = torch.stack(
        [torch.multinomial(torch.rand(E, generator=draw) ** 3 + 1e-6, K, generator=draw) for _ in range(T)]
    )
    ids, targets = ids.to(device), torch.randint(V, (T,), generator=draw).to(device)
    weights = torch.full((T,), 1 / T, device=device)
    return {
        "causal attention": (
            lambda q, k, v: causal_attention(q, k, v, 192**-0.5),
            lambda q, k, v: causal_attention_reference(q, k, v, 192**-0.5),
            [randn(2, 4, 257, 192), randn(2, 4, 257, 192), randn(2, 4, 257, 128)],
        ),
        "routed experts": (
            lambda x, g, gu, d: routed_experts(x, ids, g, gu, d),
            lambda x, g, gu, d: routed_experts_reference(x, ids, g, gu, d),
            [randn(T, D), randn(T, K).abs(), randn(E, 2, F, D, scale=D**-0.5), randn(E, D, F, scale=F**-0.5)],
        ),
        "linear cross-entropy": (
            lambda h, w: linear_cross_entropy(h, w, targets, weights),
            lambda h, w: linear_cross_entropy_reference(h, w, targets, weights),
            [randn(T, D), randn(V, D, scale=D**-0.5)],
        ),
    }


def absorbed_decode(device: str) -> float:
    """Relative distance of cached decoding's logits from the full pass, float32."""
    config = preset("centime-d2")
    model = Transformer(config)
    model.init_weights(0)
    model = model.to(device).eval()
    ids = torch.randint(config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(2)).to(device)
    pages, parts, start = Pages(config, 2, 40, torch.float32, device, drafts=False), [], 0
    with torch.no_grad():
        full = model(ids)
        for part in ids.split([30, 1, 9], dim=1):
            spans = [TokenSpan([row], start, part.shape[1]) for row in range(2)]
            states = model.advance(part.reshape(1, -1), StepCache(pages, spans))
            parts.append(model.unembed(states).view(*part.shape, -1))
            start += part.shape[1]
        parts = torch.cat(parts, dim=1)
    return float((parts - full).norm() / full.norm())


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


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def training(depth: int, device: str, steps: int, peak: float) -> dict[str, float | str | None]:
    """tokens/s and share of the measured bf16 GEMM peak of whole training steps at one depth."""
    config = preset(f"centime-d{depth}")
    model = Transformer(config)
    model.init_weights(0)
    trainer = Trainer(SingleDevice(model.to(device), Optimizer(), torch.bfloat16), micro_batch=SEQUENCES, clip=1.0)
    rows = torch.randint(config.vocab_size, (SEQUENCES, SEQUENCE + 1), generator=torch.Generator().manual_seed(depth))
    tokens = SEQUENCES * SEQUENCE
    batch = Batch(rows, loss_tokens=tokens, sequences=SEQUENCES, tokens=tokens)
    settings = StepSettings(lr=1e-3, mtp_weight=0.0, bias_speed=1e-3, balance_weight=1e-4)
    seconds = clock(lambda: trainer.step(batch, settings), device, steps)
    counts = count(config, SEQUENCE)
    return {
        "model": f"centime-d{depth}",
        "parameters": counts.total_params,
        "tokens_per_s": tokens / seconds,
        "share_of_gemm_peak": tokens * counts.train_flops_per_token / seconds / peak,
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
    }


def main() -> int:
    """Prints distances, then the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--depths", default="4,8,12", help="models to time, by depth")
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device is visible to torch; run on a GPU machine or pass --device cpu.", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    report: dict[str, object] = {"device": name, "torch": torch.__version__}
    found = {
        f"{operation}, {str(dtype).removeprefix('torch.')}": (distance(fast, reference, leaves, dtype), bound)
        for operation, (fast, reference, leaves) in operations(device).items()
        for dtype, bound in WITHIN.items()
    }
    found["absorbed decode, float32"] = (absorbed_decode(device), WITHIN[torch.float32])
    report["distances"] = {key: value for key, (value, _) in found.items()}
    strayed = [f"{key}: {value:.1e}, bound {bound:.0e}" for key, (value, bound) in found.items() if not value <= bound]
    if not strayed:
        matrix = torch.randn(4096 if device == "cuda" else 1024, 4096 if device == "cuda" else 1024, device=device)
        matrix = matrix.to(torch.bfloat16)
        peak = 2 * len(matrix) ** 3 / clock(lambda: matrix @ matrix, device, 20)
        report["bf16_gemm_tflops"] = peak / 1e12
        report["training"] = [
            training(int(depth), device, arguments.steps, peak) for depth in arguments.depths.split(",") if depth
        ]
    print(json.dumps(report, indent=None if arguments.json else 2))
    for line in strayed:
        print(f"strays from the reference: {line}", file=sys.stderr)
    return 1 if strayed else 0


if __name__ == "__main__":
    sys.exit(main())
