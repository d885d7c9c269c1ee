"""What a step computes, whatever the layout: the job, and what its times follow from."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.plan.counts.adapters import Adapters
from centime.plan.step.efficiency import ChipRates, Constants, TrainingSoftware, rates
from centime.plan.step.work import LayerWork, work_of


@dataclass(frozen=True, slots=True)
class Job:
    """One optimizer step to be computed: the model and its chip, tokens a sequence (`seq`), sequences a step
    (`global_batch`), the precision of its matrix products, and the software that runs it."""

    arch: Architecture
    chip: Chip
    seq: int
    global_batch: int
    precision: str
    software: TrainingSoftware
    optimizer: str = "adamw"  # one of memory.OPTIMIZERS
    adapters: Adapters | None = None  # what is trained in place of the weights; None: the weights


@dataclass(frozen=True, slots=True)
class Workload:
    """A job with what its seconds follow from: the work of one token, the machine's rates, the fitted constants."""

    job: Job
    work: LayerWork
    rates: ChipRates
    constants: Constants


def workload(job: Job, constants: Constants) -> Workload:
    """The workload of a job."""
    return Workload(job, work_of(job.arch, job.seq), rates(job.chip, job.precision, job.software, constants), constants)


def roofline_seconds(job: Job, gpus: int) -> float:
    """Seconds below which no step of the job ends on so many chips: its products, forward and twice that backward
    (once, where the weights are frozen), at the peaks of their precisions, with nothing else in the way."""
    work, peak = work_of(job.arch, job.seq), job.chip.peak("bf16")
    narrow = work.linear_flops + work.expert_flops
    wide, mixing = work.head_flops + work.router_flops, work.attention_flops + work.state_flops
    passes = 2.0 if job.adapters else 3.0
    seconds = passes * (narrow / job.chip.peak(job.precision.removesuffix("-row")) + wide / peak) + 3.0 * mixing / peak
    return seconds * job.global_batch * job.seq / gpus
