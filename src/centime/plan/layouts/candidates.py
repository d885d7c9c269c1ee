"""Every way to spread a model over up to so many chips: the degrees, schedules and shardings that exist for it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd

from centime.catalogue.architecture import Architecture, ExpertsSpec, FeedForwardSpec, SoftmaxAttention
from centime.catalogue.chips import Chip
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, Recompute, Schedule, schedule_objections

RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")  # the least first, which is the fastest that fits
LONG = 4096  # tokens; shorter slices of a sequence are not worth context parallelism
POWERS = tuple(1 << i for i in range(24))


@dataclass(frozen=True)
class Grid:
    """What a search tries of what exists. None: all of it.

    micro_batches: sequences; more at once only cost memory. zero: None: the stages of `sharding_of`. widest: only as
    many replicas as chips and batch allow.
    """

    tensor: tuple[int, ...] | None = None
    pipeline: tuple[int, ...] | None = None
    context: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    expert: tuple[int, ...] | None = None
    micro_batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    chunks: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10, 12, 16)
    zero: tuple[int, ...] | None = None
    schedule: Schedule | None = None
    widest: bool = False


WHOLE = Grid()


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


@dataclass(frozen=True, slots=True)
class Family:
    """Shapes that differ in their replicas alone, the fewest first."""

    tp: int
    cp: int
    pp: int
    ep: int
    micro_batch: int
    replicas: tuple[int, ...]

    def shapes(self) -> Iterator[Shape]:
        """Its members, as many as `replicas`."""
        return map(self._of, self.replicas)

    def ends(self) -> tuple[Shape, Shape]:
        """Those of the fewest and of the most replicas."""
        return self._of(self.replicas[0]), self._of(self.replicas[-1])

    def _of(self, dp: int) -> Shape:
        return Shape(self.tp, self.cp, self.pp, dp, self.ep, self.micro_batch, dp == self.replicas[-1])


@functools.cache
def divisors(n: int) -> tuple[int, ...]:
    """The divisors of a number, rising."""
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return tuple(sorted({*small, *(n // d for d in small)}))


def _tensor_degrees(arch: Architecture, chip: Chip, gpus: int) -> list[int]:
    """Divisors of every layer's heads and widths, within the scale-up domain; key-value heads divide or repeat."""
    widths = [block.mixer.heads for block in arch.blocks if block.mixer is not None]
    widths += [block.feed_forward.width for block in arch.blocks if isinstance(block.feed_forward, FeedForwardSpec)]
    groups = [block.mixer.kv_heads for block in arch.blocks if isinstance(block.mixer, SoftmaxAttention)]
    limit = min(gpus, int(chip.scaleup_domain or 1))
    return [tp for tp in divisors(gcd(*widths)) if tp <= limit and all(kv % tp == 0 or tp % kv == 0 for kv in groups)]


def _pipeline_degrees(arch: Architecture, gpus: int) -> list[int]:
    """Powers of two, 3, 5 and 7 times them, and what divides the layers, up to one stage a layer."""
    usual = {k * power for k in (1, 3, 5, 7) for power in POWERS[:12]}
    return sorted(pp for pp in usual | set(divisors(arch.layers)) if pp <= min(arch.layers, gpus))


def _tried(degrees: Iterable[int], among: tuple[int, ...] | None) -> list[int]:
    return [degree for degree in degrees if among is None or degree in among]


def families(job: Job, gpus: int, grid: Grid = WHOLE) -> Iterator[Family]:
    """All families on up to `gpus` chips whose replicas and micro-batches divide the batch."""
    arch, seq = job.arch, job.seq
    experts = [block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, ExpertsSpec)]
    expert_degrees = _tried(divisors(gcd(*experts)) if experts else (1,), grid.expert)
    context = [cp for cp in grid.context if cp == 1 or (seq % (2 * cp) == 0 and seq // cp >= LONG)]
    pipeline = _tried(_pipeline_degrees(arch, gpus), grid.pipeline)
    for tp in _tried(_tensor_degrees(arch, job.chip, gpus), grid.tensor):
        for cp in context:
            for pp in pipeline:
                most = gpus // (tp * cp * pp)
                for micro_batch in grid.micro_batches:
                    if most < 1 or job.global_batch % micro_batch:
                        continue
                    replicas = [dp for dp in divisors(job.global_batch // micro_batch) if dp <= most]
                    for ep in expert_degrees:
                        fitting = tuple(dp for dp in replicas[-1 if grid.widest else 0 :] if tp * cp * dp % ep == 0)
                        if fitting:
                            yield Family(tp, cp, pp, ep, micro_batch, fitting)


def shapes(job: Job, gpus: int, grid: Grid = WHOLE) -> Iterator[Shape]:
    """All shapes on up to `gpus` chips whose replicas and micro-batches divide the batch."""
    for family in families(job, gpus, grid):
        yield from family.shapes()


def schedules_of(shape: Shape, job: Job, grid: Grid = WHOLE) -> tuple[tuple[Schedule, int], ...]:
    """The schedules and numbers of chunks that exist for a shape."""
    micro_batches = job.global_batch // (shape.dp * shape.micro_batch)
    return _schedules(shape.pp, micro_batches, job.arch.layers, grid)


@functools.lru_cache(maxsize=4096)
def _schedules(pp: int, micro_batches: int, layers: int, grid: Grid) -> tuple[tuple[Schedule, int], ...]:
    named: list[tuple[Schedule, int]] = [(schedule, 1) for schedule in ("1f1b", "zb", "dualpipe", "dualpipev")]
    named += [("interleaved", vp) for vp in grid.chunks]
    return tuple(
        (schedule, vp)
        for schedule, vp in named
        if grid.schedule in (None, schedule) and not any(schedule_objections(schedule, pp, vp, micro_batches, layers))
    )


def sharding_of(shape: Shape, global_batch: int, grid: Grid = WHOLE) -> tuple[int, ...]:
    """ZeRO stages worth a look.

    2 only where a replica has one micro-batch: gradients kept in shards are otherwise reduced after every one of them,
    and then weights may as well be sharded.
    """
    if grid.zero is not None:
        return grid.zero
    if shape.dp * shape.cp == 1 and shape.tp == shape.ep:
        return (0,)
    return (0, 1, 2, 3) if global_batch == shape.dp * shape.micro_batch else (0, 1, 3)
