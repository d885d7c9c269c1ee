"""Every way to spread a model over up to so many chips: the degrees, schedules and shardings that exist for it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

from centime.catalogue.architecture import Architecture, Experts, FeedForward, SoftmaxAttention
from centime.catalogue.chips import Chip
from centime.plan.step.layout import Layout, Recompute, Schedule

MICRO_BATCHES = (1, 2, 4, 8, 16)  # sequences; more at once only cost memory
CONTEXT = (1, 2, 4, 8, 16, 32, 64)
CHUNKS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
LONG = 4096  # tokens; shorter slices of a sequence are not worth context parallelism


@dataclass(frozen=True, slots=True)
class Shape:
    """The degrees that decide a stage's arithmetic."""

    tp: int
    cp: int
    pp: int
    dp: int
    ep: int
    micro_batch: int
    widest: bool  # no more replicas could be had

    def layout(self, schedule: Schedule = "1f1b", vp: int = 1, zero: int = 1, recompute: Recompute = "none") -> Layout:
        """The shape with the rest chosen."""
        gpus = self.tp * self.cp * self.pp * self.dp
        return Layout(gpus, self.tp, self.pp, vp, self.cp, self.ep, zero, self.micro_batch, schedule, recompute)


@functools.cache
def divisors(n: int) -> tuple[int, ...]:
    """The divisors of a number, rising."""
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return tuple(sorted({*small, *(n // d for d in small)}))


def _tensor_degrees(arch: Architecture, chip: Chip, gpus: int) -> list[int]:
    """Divisors of every layer's heads and widths, within the scale-up domain; key-value heads divide or repeat."""
    widths = [block.mixer.heads for block in arch.blocks if block.mixer is not None]
    widths += [block.feed_forward.width for block in arch.blocks if isinstance(block.feed_forward, FeedForward)]
    groups = [block.mixer.kv_heads for block in arch.blocks if isinstance(block.mixer, SoftmaxAttention)]
    limit = min(gpus, int(chip.scaleup_domain or 1))
    return [tp for tp in divisors(gcd(*widths)) if tp <= limit and all(kv % tp == 0 or tp % kv == 0 for kv in groups)]


def _pipeline_degrees(arch: Architecture, gpus: int) -> list[int]:
    """Powers of two, 3, 5 and 7 times them, and what divides the layers, up to one stage a layer."""
    usual = {k << i for k in (1, 3, 5, 7) for i in range(12)}
    return sorted(pp for pp in usual | set(divisors(arch.layers)) if pp <= min(arch.layers, gpus))


def shapes(arch: Architecture, chip: Chip, gpus: int, seq: int, global_batch: int) -> Iterator[Shape]:
    """All shapes on up to `gpus` chips whose replicas and micro-batches divide the batch."""
    experts = [block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, Experts)]
    expert_degrees = divisors(gcd(*experts)) if experts else (1,)
    context = [cp for cp in CONTEXT if cp == 1 or (seq % (2 * cp) == 0 and seq // cp >= LONG)]
    pipeline = _pipeline_degrees(arch, gpus)
    for tp in _tensor_degrees(arch, chip, gpus):
        for cp in context:
            for pp in pipeline:
                most = gpus // (tp * cp * pp)
                for micro_batch in MICRO_BATCHES:
                    if most < 1 or global_batch % micro_batch:
                        continue
                    replicas = [dp for dp in divisors(global_batch // micro_batch) if dp <= most]
                    for ep in expert_degrees:
                        fitting = [dp for dp in replicas if tp * cp * dp % ep == 0]
                        for dp in fitting:
                            yield Shape(tp, cp, pp, dp, ep, micro_batch, dp == fitting[-1])


def schedules_of(
    shape: Shape | Layout, arch: Architecture, global_batch: int, chunks: tuple[int, ...] = CHUNKS
) -> Iterator[tuple[Schedule, int]]:
    """The schedules and numbers of chunks that exist for a shape, whatever its own."""
    pp, micro_batches, layers = shape.pp, global_batch // (shape.dp * shape.micro_batch), arch.layers
    yield "1f1b", 1
    if pp == 1:
        return
    yield "zb", 1
    if micro_batches >= 2 * pp:
        if pp % 2 == 0 and micro_batches % 2 == 0:
            yield "dualpipe", 1
        if 2 * pp <= layers:
            yield "dualpipev", 1
    for vp in chunks:
        if vp * pp <= layers:
            yield "interleaved", vp


def sharding_of(shape: Shape, global_batch: int) -> tuple[int, ...]:
    """ZeRO stages worth a look.

    2 only where a replica has one micro-batch: gradients kept in shards are otherwise reduced after every one of them,
    and then weights may as well be sharded.
    """
    if shape.dp * shape.cp == 1 and shape.tp * shape.cp * shape.dp == shape.ep:
        return (0,)
    return (0, 1, 2, 3) if global_batch == shape.dp * shape.micro_batch else (0, 1, 3)
