"""Layouts for longer sequences: the one of pre-training, with context parallelism in place of replicas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from centime.errors import UserError
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, schedule_objections
from centime.plan.step.prediction import StepPrediction, predict_step

LEAST_SLICE = 1024  # tokens of a sequence that a chip keeps at least


def longer(base: Layout, seq: int, global_batch: int) -> Iterator[Layout]:
    """Layouts on the same chips for sequences of `seq` tokens, least context parallelism first.

    A schedule that needs more micro-batches than a replica now has gives way to 1F1B.
    """
    cp = 1
    while base.gpus % (base.tp * base.pp * cp) == 0 and cp <= max(1, seq // LEAST_SLICE):
        layout = replace(base, cp=cp, micro_batch=1)
        if global_batch % layout.dp == 0 and (layout.dp * cp * base.tp) % base.ep == 0:
            if any(schedule_objections(base.schedule, base.pp, base.vp, layout.micro_batches(global_batch))):
                layout = replace(layout, schedule="1f1b", vp=1)
            yield layout
        cp *= 2


def fastest_longer(base: Layout, job: Job) -> StepPrediction:
    """The step of the fastest of `longer` that fits, recomputing what memory asks. Raises UserError where none fits."""
    found = []
    for layout in longer(base, job.seq, job.global_batch):
        try:
            found.append(predict_step(job, layout, recompute_as_needed=True))
        except UserError:
            continue  # does not fit
    if not found:
        raise UserError(
            f"No layout holds sequences of {job.seq} tokens on these chips; use more chips or shorter ones."
        )
    return min(found, key=lambda step: step.step_time_s)
