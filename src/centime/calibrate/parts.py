"""The parts of a step by themselves: products by shape and type, a copy of memory, one operator, attention, links."""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from centime.calibrate.timing import seconds_of, synchronize
from centime.catalogue.machine import AttentionRate, GemmRate, Link, MuonRate
from centime.children import deaf_to_interrupts
from centime.errors import UserError
from centime.ops.attention import causal_attention
from centime.ops.floats.newton_schulz import orthogonalise
from centime.ops.precision import native_bf16
from centime.plan.step.calibrated import muon_flops

Shape = tuple[int, int, int]

# (m, k, n): from an expert's few rows to whole layers; a GPU reaches its peak at the larger ones alone.
SHAPES = [
    (64, 128, 64), (64, 64, 128), (128, 64, 64), (128, 256, 512), (256, 128, 256), (512, 128, 512), (512, 512, 128),
    (1024, 64, 256), (1024, 256, 1024), (1024, 1024, 256), (128, 1024, 128), (2048, 512, 2048), (1024, 128, 4096),
    (2048, 2048, 2048),
]  # fmt: skip
LARGE_SHAPES = [(4096, 4096, 4096), (8192, 8192, 8192), (4096, 7168, 2048), (16384, 2048, 7168), (128, 7168, 2048)]
HEADS = [(128, 4, 48, 32), (256, 4, 48, 32), (512, 8, 48, 32), (1024, 8, 48, 32)]  # sequence, heads, key, value
LARGE_HEADS = [(4096, 16, 192, 128), (8192, 16, 192, 128)]
STACKS = [(64, 64, 128), (32, 96, 192), (32, 128, 256), (16, 256, 512)]  # matrices, short side, long side
LARGE_STACKS = [(16, 1024, 2048), (4, 2048, 7168)]
COPY_BYTES = 256 << 20
SMALL = 16
ALL_TO_ALL_BYTES = 64 << 20


def gemm_rates(device: torch.device, budget: float, shapes: Sequence[Shape]) -> Iterator[GemmRate]:
    """Each shape (m, k, n) in fp32, and in bf16 where the processor does not only emulate it; `budget` seconds each."""
    for dtype in (torch.bfloat16, torch.float32) if native_bf16(device) else (torch.float32,):
        for m, k, n in shapes:
            a = torch.randn(m, k, device=device).to(dtype)
            b = torch.randn(n, k, device=device).to(dtype)
            seconds = seconds_of(lambda a=a, b=b: torch.nn.functional.linear(a, b), device, budget)  # type: ignore[misc]
            yield GemmRate({torch.bfloat16: "bf16"}.get(dtype, "fp32"), m, k, n, 2 * m * k * n / seconds)


def memory_bytes_per_s(device: torch.device) -> float:
    """Bytes read and written a second by a copy larger than any cache."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / seconds_of(lambda: target.copy_(source), device)


def operator_s(device: torch.device) -> float:
    """Seconds of one operator on a tensor of a few numbers: what Python and the dispatcher cost."""
    x = torch.zeros(SMALL, device=device)

    def hundred() -> None:
        for _ in range(100):
            x.add_(1.0)

    return seconds_of(hundred, device) / 100


def attention_rates(device: torch.device, dtype: torch.dtype, budget: float) -> Iterator[AttentionRate]:
    """The model's own causal attention, forward and backward, 2,048 tokens at once."""
    for sequence, heads, key, value in HEADS + LARGE_HEADS * (device.type == "cuda"):
        batch = max(1, 2048 // sequence)
        shape = (batch, heads, sequence)
        q, k, v = (torch.randn(*shape, size, device=device).to(dtype).requires_grad_() for size in (key, key, value))

        def both(q=q, k=k, v=v):  # type: ignore[no-untyped-def]
            causal_attention(q, k, v, scale=q.shape[-1] ** -0.5).float().sum().backward()

        flops = 3 * 2 * batch * heads * sequence * sequence / 2 * (key + value)
        yield AttentionRate(sequence, heads, key, value, flops / seconds_of(both, device, budget))


def muon_rates(device: torch.device, dtype: torch.dtype, budget: float) -> Iterator[MuonRate]:
    """Muon's orthogonalisation of stacks of experts, in the type that training computes in."""
    for count, short, long in STACKS + LARGE_STACKS * (device.type == "cuda"):
        stack = torch.randn(count, short, long, device=device)
        seconds = seconds_of(lambda stack=stack: orthogonalise(stack, dtype=dtype), device, budget)  # type: ignore[misc]
        yield MuonRate(short, long, muon_flops(stack.numel(), short, long, "v4") / seconds)


def links(device: torch.device) -> list[Link]:
    """An all-to-all among this machine's GPUs; nothing where there are fewer than two."""
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if count < 2:
        return []
    return [Link(count, ALL_TO_ALL_BYTES, all_to_all(count, "nccl", ALL_TO_ALL_BYTES))]


def all_to_all(count: int, backend: str, size: int) -> float:
    """Bytes a second that one of `count` processes sends when each gives every other its share of `size` bytes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    ranks = [
        context.Process(target=_exchange, args=(rank, count, backend, port, size, answers), daemon=True)
        for rank in range(count)
    ]
    with deaf_to_interrupts():
        for rank in ranks:
            rank.start()
    for rank in ranks:
        rank.join()
    if any(rank.exitcode for rank in ranks):
        raise UserError("The all-to-all among this machine's devices failed; see the messages above.")
    return float(answers.get())


def _exchange(rank: int, count: int, backend: str, port: int, size: int, answers: Any) -> None:
    """One device's part of an all-to-all; the first puts the bytes a second that it sends into `answers`."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(count))
    torch.distributed.init_process_group(backend, rank=rank, world_size=count)
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    sent = torch.zeros(size // count * count, dtype=torch.uint8, device=device)
    got = torch.empty_like(sent)

    def exchange() -> None:
        torch.distributed.all_to_all_single(got, sent)
        synchronize(device)

    for _ in range(2):
        exchange()
    times = []
    for _ in range(5):  # a fixed number: ranks that each kept to a budget of time would leave one another waiting
        torch.distributed.barrier()
        start = time.perf_counter()
        exchange()
        times.append(time.perf_counter() - start)
    if rank == 0:
        answers.put(size * (count - 1) / count / statistics.median(times))
    torch.distributed.destroy_process_group()
