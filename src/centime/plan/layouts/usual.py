"""The layout of a published run that does not say how it was laid out: the fastest of the usual ones that fit.

Whoever spends months of a cluster tries a few layouts first. Usual are powers of two: tensor parallelism within a
node, at most 16 pipeline stages, experts over up to 64 chips, states sharded over the replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from centime.catalogue.architecture import Architecture, ExpertsSpec
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, objections
from centime.plan.step.memory import fits, memory_of, recomputation

TENSOR = (1, 2, 4, 8)
STAGES = (1, 2, 4, 8, 16)
EXPERTS = (1, 2, 4, 8, 16, 32, 64)
CHUNKS = (1, 2, 4)
INTERLEAVED = 2021.3  # arXiv 2104.04473


def usual(arch: Architecture, gpus: int, software: TrainingSoftware, sharding: int | None) -> Iterator[Layout]:
    """Layouts on all `gpus`, those that cannot run left to `objections`. sharding: the ZeRO stage, where stated."""
    mixture = any(isinstance(block.feed_forward, ExpertsSpec) for block in arch.blocks)
    for tp in TENSOR:
        for pp in STAGES:
            if gpus % (tp * pp):
                continue
            zeros = (sharding,) if sharding is not None else (1, 3) if pp == 1 else (1,)
            for vp in CHUNKS if pp > 1 and software.year >= INTERLEAVED else (1,):
                for ep in EXPERTS if mixture else (1,):
                    for zero in zeros:
                        schedule = "interleaved" if vp > 1 else "1f1b"
                        yield Layout(gpus, tp, pp, vp, ep=ep, zero=zero, schedule=schedule)  # type: ignore[arg-type]


def fastest_usual(
    job: Job, gpus: int, batch_of: Callable[[int], int], most: int, sharding: int | None = None
) -> Layout | None:
    """The one of `usual` with least seconds per sequence that fits with whole layers recomputed, None where none does.

    batch_of: sequences a step for so many replicas, of which there are at most `most`; the job's own number is not
    looked at. A micro-batch is one sequence.
    """
    best, least = None, float("inf")
    for layout in usual(job.arch, gpus, job.software, sharding):
        batch = batch_of(layout.dp)
        if layout.dp > most or next(objections(layout, job.arch, job.chip, job.seq, batch), None) is not None:
            continue
        sized = replace(job, global_batch=batch)
        again = recomputation(sized, layout)
        if not fits(job.chip, memory_of(sized, layout, again).total):
            continue
        seconds = StepCost(sized).times(layout, again).total / batch
        if seconds < least:
            best, least = layout, seconds
    return best
