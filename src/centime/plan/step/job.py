"""What a step computes, whatever the layout: the job, and what its times follow from."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
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
